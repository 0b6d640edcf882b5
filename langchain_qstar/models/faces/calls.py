"""One call of the chat model: from messages to a request, and from completions to messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from weakref import WeakKeyDictionary

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk

from langchain_qstar.errors import SettingsError
from langchain_qstar.models.engine.policy import LocalPolicy
from langchain_qstar.models.engine.streaming import Piece, begun
from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.models.faces.answers import ending_of, logprobs_of, usage_of
from langchain_qstar.models.faces.conversation import chat_of, spelled_out
from langchain_qstar.models.faces.schemas import closed, grammar_of, rule, schema_of
from langchain_qstar.models.faces.settings import CallSettings, without_stop
from langchain_qstar.models.faces.tool_calls import OURS, CallFormat, choice_of, format_of
from langchain_qstar.models.faces.written_calls import WrittenCalls, joined
from langchain_qstar.protocols import Completion, SampleRequest

ARGUMENTS: Final = ("tools", "tool_choice", "parallel_tool_calls", "strict", "response_format")
"""What a call may be given besides settings."""

_formats: WeakKeyDictionary[TextCodec, CallFormat | None] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A call: what the engine is asked, and what it takes to read the answer.

    `form` is None when the model may call nothing; `names` are those of what it may call.
    """

    policy: LocalPolicy
    settings: CallSettings
    request: SampleRequest
    form: CallFormat | None
    names: tuple[str, ...] = ()

    def generation(self, completion: Completion) -> ChatGeneration:
        """The message that a completion is."""
        text = without_stop(completion.text, completion, self.request.stop)
        content, calls, invalid = self.form.read(text) if self.form else (text, [], [])
        metadata = ending_of(completion, self.policy.name, calls=bool(calls))
        if self.settings.tells_logprobs:
            metadata["logprobs"] = logprobs_of(self.policy.codec, completion, text)
        message = AIMessage(
            content,
            tool_calls=calls,
            invalid_tool_calls=invalid,
            usage_metadata=usage_of(completion),
            response_metadata=metadata,
        )
        return ChatGeneration(message=message)


def prepare(
    policy: LocalPolicy,
    settings: CallSettings,
    messages: Sequence[BaseMessage],
    arguments: Mapping[str, Any],
) -> ChatCall:
    """A call of `policy` with `messages`.

    Args:
        policy: The model.
        settings: How it writes.
        messages: The chat.
        arguments: Some of `ARGUMENTS`.

    Raises:
        QuestionError: The messages are none, or hold something else than text.
        GrammarError: A schema is none, or `tool_choice` names no tool.
        SettingsError: The call asks for two grammars.
        ModelSpecError: The chat template refuses the messages.
    """
    tools = list(arguments.get("tools") or ())
    choice = choice_of(arguments.get("tool_choice"), tools)
    own = _format_of(policy.codec)
    chat = chat_of(messages)
    if own is None:
        state = policy.chat_state(spelled_out(chat, tools, OURS))
    else:
        state = policy.chat_state(chat, tools)
    form = (own or OURS) if choice.tools else None
    schema, strict = _answer_schema(arguments)
    if settings.grammar is not None and (form or schema):
        raise SettingsError("grammar= does not go with tools or response_format; give one of them")
    grammar = settings.grammar
    if form is not None:
        grammar = form.grammar(
            choice.tools,
            required=choice.required,
            several=arguments.get("parallel_tool_calls") is not False and not choice.single,
            strict=arguments.get("strict"),
            otherwise=None if schema is None else rule(schema, strict=bool(strict)),
        )
    elif schema is not None:
        grammar = grammar_of(schema, strict=bool(strict))
    names = tuple(tool["function"]["name"] for tool in choice.tools)
    request = replace(settings.request(state), grammar=grammar)
    return ChatCall(policy, settings, request, form, names)


def _format_of(codec: TextCodec) -> CallFormat | None:
    if codec not in _formats:
        _formats[codec] = format_of(codec)
    return _formats[codec]


def _answer_schema(arguments: Mapping[str, Any]) -> tuple[dict[str, Any] | None, bool | None]:
    """The JSON schema of an answer and whether it holds to the letter, from `response_format`."""
    wanted = arguments.get("response_format")
    strict = arguments.get("strict")
    if wanted is None:
        return None, strict
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind == "text":
        return None, strict
    if kind == "json_object":
        return {"type": "object"}, strict
    if kind == "json_schema":
        wanted = wanted.get("json_schema", {})
        strict = wanted.get("strict", strict)
        wanted = wanted.get("schema")
    # By hand, not strict means: JSON, and as much of the schema as the model likes.
    return ({"type": "object"} if strict is False else closed(schema_of(wanted))), strict


class Chunks:
    """Makes message chunks of the pieces of one completion.

    A call is never told as text, but as chunks of a call while it is written.
    """

    def __init__(self, call: ChatCall) -> None:
        """Start at the beginning of the answer to `call`."""
        self._call = call
        self._text = ""
        self._told = 0
        self._calls = None if call.form is None else WrittenCalls(call.form, call.names)

    def add(self, piece: Piece) -> ChatGenerationChunk | None:
        """The next chunk, if there is anything to tell."""
        completion = piece.completion
        if completion is None:
            text = piece.text
            self._text += text
            message = AIMessageChunk(
                content=self._new(self._certain()),
                tool_call_chunks=self._calls.add(self._text) if self._calls else [],
            )
        else:
            text = without_stop(piece.text, completion, self._call.request.stop)
            self._text += text
            message = self._last(completion)
        if self._call.settings.tells_logprobs and piece.token_ids:
            shown = None if completion is None else text
            codec = self._call.policy.codec
            message.response_metadata["logprobs"] = logprobs_of(codec, piece, shown)
        tells = message.content or message.tool_call_chunks or message.response_metadata
        if completion is None and not tells:
            return None
        return ChatGenerationChunk(message=message)

    def _certain(self) -> str:
        """What is no call and will not become one."""
        form = self._call.form
        if form is None:
            return self._text
        if not form.opening:
            return "" if self._text.startswith("{") else self._text
        before, mark, _ = self._text.partition(form.opening)
        return before if mark else before[: len(before) - begun(before, [form.opening])]

    def _new(self, content: str) -> str:
        told, self._told = self._told, max(self._told, len(content))
        return content[told:]

    def _last(self, completion: Completion) -> AIMessageChunk:
        form = self._call.form
        content, calls, invalid = form.read(self._text) if form else (self._text, [], [])
        written = self._calls
        chunks = [*written.add(self._text), *written.end(calls, invalid)] if written else []
        return AIMessageChunk(
            content=self._new(content),
            tool_call_chunks=joined(chunks),
            usage_metadata=usage_of(completion),
            response_metadata=ending_of(completion, self._call.policy.name, calls=bool(calls)),
            chunk_position="last",
        )
