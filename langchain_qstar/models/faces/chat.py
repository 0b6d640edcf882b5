"""A local model as a LangChain chat model.

Answers can be made to follow a JSON schema, to be calls of tools, or both; the engine
then draws nothing else. What the model was not trained for it still does badly.

It does not: think aloud (thoughts are counted and left out), read images, or give the
log-probabilities of more than 20 tokens at a place.
"""

# ruff: noqa: ARG002  # LangChain's names and signatures, used or not

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from operator import itemgetter
from typing import Any, Final, Literal
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
    Callbacks,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableMap, RunnablePassthrough
from langchain_core.runnables.config import (
    ContextThreadPoolExecutor,
    get_config_list,
    patch_config,
)
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from langchain_qstar.errors import GrammarError, SettingsError
from langchain_qstar.models.faces.calls import ARGUMENTS, ChatCall, Chunks, prepare
from langchain_qstar.models.faces.model import LocalModel
from langchain_qstar.models.faces.schemas import schema_of
from langchain_qstar.models.faces.settings import (
    chatting,
    local_policy,
    one_answer,
)
from langchain_qstar.models.faces.tool_calls import choice_of
from langchain_qstar.protocols import Completion

MOST_TOGETHER: Final = 128
"""As many threads as a `batch` starts at most, unless `max_concurrency` says otherwise."""

Method = Literal["json_schema", "function_calling", "json_mode"]
Schema = Mapping[str, Any] | type


class ChatLocal(LocalModel, BaseChatModel):
    """A model in this process as a LangChain chat model.

    Everything that runs on one model shares its engine: calls, batches, streams
    and searches join one running batch, and prompts that begin alike are read
    once. LangChain's standard arguments `api_key` and `max_retries` are accepted
    and mean nothing here.

    >>> from langchain_qstar import ChatLocal
    >>> chat = ChatLocal("nano", temperature=0)
    >>> chat.invoke("Is 3*4 more than 10?", grammar='root ::= "yes" | "no"').text in {"yes", "no"}
    True

    Args:
        model: What `resolve_policy` takes and runs in this process: `"nano"`,
            `"hf:ORG/NAME"`, a folder, a `(model, tokenizer)` pair, a local policy.
        settings: See `CallSettings`; any of them may also be given with a call,
            or bound. `streaming=True` streams also when `invoke` is called.

    Raises:
        ModelSpecError: `model` is no local model, or has no chat template.
        SettingsError: A setting is unknown or out of its range.
    """

    streaming: bool = False
    """Whether `invoke` streams to the callbacks."""

    # A type checker would make one of the fields, without the name in front.
    def __init__(self, model: Any = "nano", **settings: Any) -> None:
        super().__init__(model, **settings)
        chatting(self._policy)

    def _resolve_model_profile(self) -> ModelProfile:
        profile = ModelProfile(
            text_inputs=True,
            image_inputs=False,
            text_outputs=True,
            tool_calling=True,
            tool_choice=True,
            structured_output=True,
        )
        window = local_policy(self.model).window
        return profile if window is None else {**profile, "max_input_tokens": window}

    @property
    def _llm_type(self) -> str:
        return "qstar-chat-local"

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None, arguments: Mapping[str, Any]
    ) -> ChatCall:
        given = dict(arguments)
        spec = given.pop("model", None)
        settings = self.for_call(stop, given, known=ARGUMENTS)
        policy = self._policy if spec is None else chatting(local_policy(spec))
        return prepare(policy, settings, messages, given)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, kwargs)
        (completions,) = call.policy.sample([call.request], timeout=call.settings.timeout)
        return _result(call, completions)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, kwargs)
        (completions,) = await call.policy.asample([call.request], timeout=call.settings.timeout)
        return _result(call, completions)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call = self._call(messages, stop, kwargs)
        chunks = Chunks(call)
        for piece in call.policy.stream(one_answer(call.request), timeout=call.settings.timeout):
            if chunk := chunks.add(piece):
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = self._call(messages, stop, kwargs)
        chunks = Chunks(call)
        pieces = call.policy.astream(one_answer(call.request), timeout=call.settings.timeout)
        async with aclosing(pieces):
            async for piece in pieces:
                if chunk := chunks.add(piece):
                    yield chunk

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        run_id: UUID | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """As for any chat model, with all prompts in the engine's batch together."""
        if len(messages) < 2:
            return super().generate(messages, stop, callbacks, run_id=run_id, **kwargs)

        def one(number: int) -> LLMResult:
            return super(ChatLocal, self).generate(
                [messages[number]], stop, callbacks, run_id=None if number else run_id, **kwargs
            )

        with ContextThreadPoolExecutor(min(len(messages), self._together())) as threads:
            results = list(threads.map(one, range(len(messages))))
        return LLMResult(
            generations=[result.generations[0] for result in results],
            llm_output=self._combine_llm_outputs([result.llm_output for result in results]),
            run=[run for result in results for run in result.run or ()] or None,
        )

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """As for any Runnable, with as many inputs at once as keep the engine full."""
        configs = [
            patch_config(each, max_concurrency=each.get("max_concurrency") or self._together())
            for each in get_config_list(config, len(inputs))
        ]
        return super().batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)

    def _together(self) -> int:
        return max(1, min(MOST_TOGETHER, self._policy.full_rows // self.n))

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools.

        The grammar of the calls is enforced, so that every call names a tool and
        has arguments of its schema. A call that `max_tokens` cuts off is among
        the message's `invalid_tool_calls`.

        Args:
            tools: Anything that LangChain takes for a tool.
            tool_choice: `auto` or None: the model decides; `any`, `required` or
                True: it must call one; a name, alone or as `{"type": "function",
                "function": {"name": ...}}`: it must call that one, once; `none`:
                it sees the tools and calls none.
            strict: True refuses a schema that cannot be enforced to the letter;
                None enforces what can be; False enforces JSON and the names only.
            parallel_tool_calls: False allows one call an answer.
            kwargs: Bound as they are.

        Raises:
            GrammarError: A tool has no schema, or `tool_choice` names none.
        """
        made = [_tool(tool) for tool in tools]
        choice_of(tool_choice, made)
        bound = {
            "tool_choice": tool_choice,
            "strict": strict,
            "parallel_tool_calls": parallel_tool_calls,
        }
        given = {name: value for name, value in bound.items() if value is not None}
        return self.bind(tools=made, **given, **kwargs)

    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers as JSON of a schema.

        The grammar of the schema is enforced. The prompt is not changed: say in it
        what is wanted. Objects have the properties that the schema names and no
        others, unless it says `additionalProperties`.

        Args:
            schema: A pydantic class, a `TypedDict` or a JSON schema.
            method: `json_schema`: the answer is the JSON. `function_calling`: it
                is a call of a tool with that schema, which is shown to the model.
                `json_mode`: it is any JSON object.
            include_raw: Return a dict with `raw`, `parsed` and `parsing_error`.
            strict: True refuses a schema that cannot be enforced to the letter,
                None enforces what can be, False enforces JSON only.
            kwargs: Bound as they are.

        Returns:
            A Runnable that gives an instance of a pydantic class, otherwise a dict.
            It raises `OutputParserException` for an answer that `max_tokens` cut.

        Raises:
            GrammarError: `schema` is none.
            SettingsError: `method` is unknown, or does not go with `strict` or no schema.
        """
        if method not in {"json_schema", "function_calling", "json_mode"}:
            raise SettingsError(
                f"method={method!r}: choose json_schema, function_calling or json_mode"
            )
        if method == "json_mode" and strict is not None:
            raise SettingsError("strict does not go with json_mode, which enforces no schema")
        if method != "json_mode" and schema is None:
            raise SettingsError(f"method={method!r} needs a schema")
        traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        if method == "function_calling":
            tool = _tool(schema)
            name = tool["function"]["name"]
            bound = {"ls_structured_output_format": traced, **kwargs}
            model = self.bind_tools([tool], tool_choice=name, strict=strict, **bound)
            parser = _call_parser(schema, name)
        else:
            wanted: dict[str, Any] = {"type": "json_object"}
            if method == "json_schema":
                described = {"name": "answer", "schema": schema_of(schema), "strict": strict}
                wanted = {"type": "json_schema", "json_schema": described}
            model = self.bind(response_format=wanted, ls_structured_output_format=traced, **kwargs)
            parser = _json_parser(schema)
        return _with_raw(model, parser) if include_raw else model | parser


def _result(call: ChatCall, completions: Sequence[Completion]) -> ChatResult:
    return ChatResult(generations=[call.generation(each) for each in completions])


def _tool(tool: Any) -> dict[str, Any]:
    try:
        made = convert_to_openai_tool(tool)
    except (ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise GrammarError(f"{tool!r:.60} is no tool: {reason}") from error
    if "function" not in made:
        raise GrammarError(f"the tool {made.get('type')!r} runs at its provider; give a function")
    return made


def _is_pydantic(schema: Any) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def _json_parser(schema: Any) -> Runnable[Any, Any]:
    return (
        PydanticOutputParser(pydantic_object=schema) if _is_pydantic(schema) else JsonOutputParser()
    )


def _call_parser(schema: Any, name: str) -> Runnable[Any, Any]:
    if _is_pydantic(schema):
        return PydanticToolsParser(tools=[schema], first_tool_only=True)
    return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)


def _with_raw(
    model: Runnable[LanguageModelInput, AIMessage], parser: Runnable[Any, Any]
) -> Runnable[LanguageModelInput, Any]:
    """`raw`, `parsed` and `parsing_error` of every answer."""
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")
