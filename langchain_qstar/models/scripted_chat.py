"""A chat model that follows a script: for tests, examples and documents of agents.

It behaves like a provider's model in every way an agent can see: it calls tools,
streams word by word, counts tokens and, if wanted, gives log-probabilities. It
reads no file and needs no extra. `models.scripted` has its like for policies.
"""

# ruff: noqa: ARG002  # `run_manager` is LangChain's name, used or not

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr, SkipValidation

from langchain_qstar.models.steps import text_before

Turn = AIMessage | str | Sequence[AIMessage | str]
"""What is said at one point of a conversation: one reply, or several in turn."""

_WORD: Final = re.compile(r"\S+\s*|\s+")


class ScriptedChatModel(BaseChatModel):
    """A chat model whose n-th reply in a conversation is the n-th turn of its script.

    Which turn that is depends on the conversation alone: on how many replies are
    in it already. So an agent that is killed and resumed, and agents that run at
    once, get the replies they would have got. After its last turn it says nothing.

    >>> model = ScriptedChatModel(["Hello.", ["Fine.", "Well."]])
    >>> model.invoke("Hi!").content
    'Hello.'
    >>> later = [("user", "Hi!"), ("assistant", "Hello."), ("user", "How are you?")]
    >>> [model.invoke(later).content for _ in range(3)]
    ['Fine.', 'Well.', 'Fine.']
    """

    turns: SkipValidation[Sequence[Turn] | Callable[[list[BaseMessage]], Turn]]
    """A text or an `AIMessage` (with tool calls, if wanted) a turn; a list of them
    where asking again about the same conversation gives the next one. Or a function
    of the conversation that gives one turn."""
    logprob: float | None = None
    """Natural-log probability of every word, given as OpenAI's models give it; None for none."""

    _calls: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _tools: list[list[Any]] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(
        self, turns: Sequence[Turn] | Callable[[list[BaseMessage]], Turn], **options: Any
    ) -> None:
        super().__init__(turns=turns, **options)

    @property
    def calls(self) -> list[list[BaseMessage]]:
        """Every conversation it was asked about so far, in order."""
        return self._calls

    @property
    def tools(self) -> list[list[Any]]:
        """The tools it was given with each of the `calls`, in OpenAI's form."""
        return self._tools

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop, **kwargs)
        return LangSmithParams({**params, "ls_model_name": kwargs.get("model", "scripted")})

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The same model, told of `tools`; what it calls is what the script says."""
        formatted = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=formatted, tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = self._reply(messages, kwargs.get("tools", []), stop)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reply = self._reply(messages, kwargs.get("tools", []), stop)
        words = _WORD.findall(str(reply.text))
        for word in words:
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
            if run_manager:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
        rest = reply.model_dump(exclude={"type", "content"})
        yield ChatGenerationChunk(message=AIMessageChunk(content="", **rest, chunk_position="last"))

    def _reply(
        self, messages: list[BaseMessage], tools: list[Any], stop: list[str] | None
    ) -> AIMessage:
        """The turn of this conversation, with what a provider would say about it."""
        with self._lock:
            asked = self._calls.count(messages)
            self._calls.append(messages)
            self._tools.append(tools)
        turn = self.turns(messages) if callable(self.turns) else self._turn(messages)
        if not isinstance(turn, (AIMessage, str)):
            turn = turn[asked % len(turn)]
        given = turn if isinstance(turn, AIMessage) else AIMessage(text_before(turn, stop or ()))
        words = _WORD.findall(str(given.text))
        read = sum(len(_WORD.findall(str(message.text))) for message in messages)
        return given.model_copy(
            update={
                "response_metadata": self._metadata(words) | given.response_metadata,
                "usage_metadata": given.usage_metadata
                or {
                    "input_tokens": read,
                    "output_tokens": len(words),
                    "total_tokens": read + len(words),
                },
            }
        )

    def _turn(self, messages: list[BaseMessage]) -> Turn:
        number = sum(isinstance(message, AIMessage) for message in messages)
        turns = self.turns
        assert not callable(turns)
        return turns[number] if number < len(turns) else ""

    def _metadata(self, words: list[str]) -> dict[str, Any]:
        metadata: dict[str, Any] = {"model_name": "scripted"}
        if self.logprob is not None and words:
            content = [{"token": word, "logprob": self.logprob} for word in words]
            metadata["logprobs"] = {"content": content}
        return metadata
