"""A chat model that answers by search, for any place that takes a chat model."""

# ruff: noqa: A002  # `input` is LangChain's name

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.callbacks.manager import (
    BaseRunManager,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langgraph.constants import TAG_NOSTREAM
from pydantic import ConfigDict, Field, SkipValidation, ValidationError

from langchain_qstar.agents.conversation import Asked, question_of
from langchain_qstar.agents.replies import with_cost
from langchain_qstar.agents.runs import (
    astreamed,
    config_below,
    message_id,
    named_run,
    streamed,
)
from langchain_qstar.agents.solving import graph_writer
from langchain_qstar.agents.wording import reply_of
from langchain_qstar.chains import QStarChain, SolverChain
from langchain_qstar.errors import QuestionError, SettingsError
from langchain_qstar.models.steps import text_before
from langchain_qstar.solution import Solution

EVENT: Final = "search"
"""The name of the custom events that tell of the search."""


class ChatQStar(BaseChatModel):
    """A chat model whose answers are found by search.

    It answers what a conversation ends with: the last human message and what tools
    have returned since. What was said before is not read; `question` can put it into
    the question. A stream tells of the search by custom events named `search`
    (`on_custom_event` of callbacks and of `astream_events`; in a graph also its
    stream mode `custom`), then gives the answer, a step a chunk.

    With `model`, and tools bound, that model is asked first: a reply that calls
    tools is passed on as it is, and any other is replaced by the search's answer.
    So structured output, which is a tool call too, is that model's, without search.

    Args:
        chain: What answers: `QStarChain` or another `SolverChain`. By default
            Q* over `model`, or without one over the bundled model.
        model: The chat model that calls tools.
        question: The conversation as a question: a text, or a message with a text and
            images, which the chain's model must take. None is an error.
        max_tokens: Most tokens that the search may generate; the chain's own by default.
        timeout: Most seconds that the search may take; the chain's own by default.
        stop: The answer ends before the first of these texts.

    Raises:
        SettingsError: An argument is unknown, or the chain has no such budget.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    chain: SkipValidation[SolverChain]
    model: BaseChatModel | None = None
    question: Callable[[Sequence[BaseMessage]], Asked | None] = question_of
    max_tokens: int | None = Field(None, ge=1)
    timeout: float | None = Field(None, gt=0)
    stop: list[str] | None = None
    streaming: bool = False

    def __init__(self, chain: SolverChain | None = None, **options: Any) -> None:
        if chain is None:
            chain = QStarChain(options.get("model") or "nano")
        if not isinstance(chain, SolverChain):
            raise SettingsError(f"chain={chain!r:.60} is no chain of this package")
        try:
            super().__init__(chain=chain.returning("solution"), **options)
        except ValidationError as error:
            problem = error.errors()[0]
            name = ".".join(map(str, problem["loc"]))
            raise SettingsError(f"ChatQStar: {name}: {problem['msg']}") from None
        for budget in self._budget():
            if budget not in chain.overrides:
                raise SettingsError(f"{chain.get_name()} has no budget {budget}; leave it out")

    @property
    def _llm_type(self) -> str:
        return "qstar"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        settings = getattr(self.chain, "settings", None)
        return {
            "chain": self.chain.get_name(),
            "policy": self.chain.policy.name,
            "task": self.chain.task.name,
            "seed": self.chain.seed,
            "settings": None if settings is None else settings.model_dump(mode="json"),
            **self._budget(),
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop, **kwargs)
        name = kwargs.get("model", self.chain.policy.name)
        return LangSmithParams({**params, "ls_provider": "qstar", "ls_model_name": name})

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The same model, whose `model` may call `tools`.

        Raises:
            SettingsError: There is no `model`, or it takes no tools as others do.
        """
        if self.model is None:
            raise SettingsError("a search calls no tools; pass ChatQStar(model=...) one that does")
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        bound = self.model.bind_tools(tools, **kwargs)
        if not isinstance(bound, RunnableBinding):
            raise SettingsError(f"{type(self.model).__name__} does not bind tools as others do")
        return self.bind(**bound.kwargs)

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        """Tell of the search by custom events, then give the answer, a line a chunk."""
        config, context = named_run(config)
        yield from streamed(super().stream(input, config, **kwargs), context)

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        """As `stream`, without blocking the event loop."""
        config, context = named_run(config)
        async for chunk in astreamed(super().astream(input, config, **kwargs), context):
            yield chunk

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, stop, config_below(run_manager), kwargs):
            if run_manager:
                chunk.message.id = message_id(run_manager)
                run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in self._achunks(messages, stop, config_below(run_manager), kwargs):
            if run_manager:
                chunk.message.id = message_id(run_manager)
                await run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
            yield chunk

    def _should_stream(
        self, *, async_api: bool, run_manager: BaseRunManager | None = None, **kwargs: Any
    ) -> bool:
        """`_generate` tells its run of every chunk; LangChain need not call `_stream` for it."""
        return run_manager is None and super()._should_stream(async_api=async_api, **kwargs)

    def _chunks(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        config: RunnableConfig | None,
        options: dict[str, Any],
    ) -> Iterator[ChatGenerationChunk]:
        reply = None
        if self.model is not None and options.get("tools"):
            reply = self.model.invoke(messages, _unseen(config), stop=stop, **options)
            if reply.tool_calls:
                yield _last_chunk(reply)
                return
        write = graph_writer()
        for item in self.chain.stream(self._asked(messages), config, **self._budget()):
            if isinstance(item, Solution):
                yield from self._said(item, reply, stop)
            else:
                write(item)
                if config is not None:
                    dispatch_custom_event(EVENT, item, config=config)

    async def _achunks(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        config: RunnableConfig | None,
        options: dict[str, Any],
    ) -> AsyncIterator[ChatGenerationChunk]:
        reply = None
        if self.model is not None and options.get("tools"):
            reply = await self.model.ainvoke(messages, _unseen(config), stop=stop, **options)
            if reply.tool_calls:
                yield _last_chunk(reply)
                return
        write = graph_writer()
        async for item in self.chain.astream(self._asked(messages), config, **self._budget()):
            if isinstance(item, Solution):
                for chunk in self._said(item, reply, stop):
                    yield chunk
            else:
                write(item)
                if config is not None:
                    await adispatch_custom_event(EVENT, item, config=config)

    def _budget(self) -> dict[str, Any]:
        given = {"max_tokens": self.max_tokens, "max_seconds": self.timeout}
        return {name: value for name, value in given.items() if value is not None}

    def _asked(self, messages: Sequence[BaseMessage]) -> Asked:
        question = self.question(messages)
        if question is None:
            raise QuestionError("the messages hold no human message to answer")
        return question

    def _said(
        self, solution: Solution, reply: AIMessage | None, stop: list[str] | None
    ) -> Iterator[ChatGenerationChunk]:
        """The answer, a line a chunk; the last one is empty and tells usage and metadata."""
        message = reply_of(solution)
        if reply is not None:
            message = with_cost(message, [reply], {})
        text = text_before(str(message.text), [*(self.stop or ()), *(stop or ())])
        for line in text.splitlines(keepends=True):
            yield ChatGenerationChunk(message=AIMessageChunk(content=line))
        yield _last_chunk(message.model_copy(update={"content": ""}))


def _unseen(config: RunnableConfig | None) -> RunnableConfig:
    """A graph's stream of messages leaves out what the search may replace."""
    return {**(config or {}), "tags": [TAG_NOSTREAM]}


def _last_chunk(message: AIMessage) -> ChatGenerationChunk:
    fields = message.model_dump(exclude={"type"})
    return ChatGenerationChunk(message=AIMessageChunk(**fields, chunk_position="last"))
