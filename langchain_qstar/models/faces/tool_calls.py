"""How a model writes calls of tools: found out from its chat template, enforced, read back.

A call is a JSON object with a name and arguments, between marks that differ from model
to model. A template that shows tools is asked by an example; for any other template,
and for one that writes calls in another way, there is a format and a prompt of ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call

from langchain_qstar.errors import GrammarError, ModelSpecError
from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.models.faces.schemas import closed, literal, rule

_DECODER: Final = json.JSONDecoder()
_WORD: Final = "probe"
_MARKED: Final = "a-probing-answer"
_ARGUMENTS: Final = {_WORD: 7}


@dataclass(frozen=True, slots=True)
class CallFormat:
    """The marks around calls, and the keys inside of them.

    `between` two calls is None for a model that writes one call at a time.
    """

    opening: str
    between: str | None
    closing: str
    name: str = "name"
    arguments: str = "arguments"

    def written(self, calls: Sequence[ToolCall]) -> str:
        """The text of `calls`."""
        texts = [
            json.dumps({self.name: call["name"], self.arguments: call["args"]}, ensure_ascii=False)
            for call in calls
        ]
        return self.opening + (self.between or "\n").join(texts) + self.closing

    def grammar(
        self,
        tools: Sequence[Mapping[str, Any]],
        *,
        required: bool,
        several: bool,
        strict: bool | None,
        otherwise: str | None = None,
    ) -> str:
        """What a model with `tools` may write, as Lark.

        Args:
            tools: In OpenAI's form.
            required: Whether it must call one.
            several: Whether it may call more than one.
            strict: True refuses schemas that cannot be enforced to the letter,
                None leaves what cannot be enforced, False enforces JSON only.
            otherwise: The JSON schema of an answer without a call; None is any text.
        """
        rules = [self._rule(number, tool, strict=strict) for number, tool in enumerate(tools)]
        call = " | ".join(f"tool_{number}" for number in range(len(tools)))
        more = f" ({literal(self.between)} call)*" if several and self.between else ""
        calls = f"call{more} {literal(self.closing)}"
        start = f"start: {literal(self.opening)} {calls}"
        if not required and otherwise is not None:
            start += f" | answer\nanswer: {otherwise}"
        elif not required and self.opening:
            start = f"start: TEXT | lead {calls}\nlead[lazy]: TEXT {literal(self.opening)}"
            start += "\nTEXT: /(.|\\n)*/"
        elif not required:
            start += " | TEXT\nTEXT: /([^{](.|\\n)*)?/"
        return "\n".join([start, f"call: {call}", *rules, ""])

    def _rule(self, number: int, tool: Mapping[str, Any], *, strict: bool | None) -> str:
        function = tool["function"]
        schema = {"type": "object"}
        if strict is not False:
            schema = closed({"properties": {}, **schema, **(function.get("parameters") or {})})
        head = f'{{"{self.name}": {json.dumps(function["name"])}, "{self.arguments}": '
        return f"tool_{number}: {literal(head)} {rule(schema, strict=bool(strict))} {literal('}')}"

    def read(self, text: str) -> tuple[str, list[ToolCall], list[InvalidToolCall]]:
        """The text before the calls, the calls, and what begins as one and is none."""
        before, mark, rest = text.partition(self.opening) if self.opening else ("", "{", text)
        calls: list[ToolCall] = []
        begun = bool(mark) and (bool(self.opening) or text.startswith(mark))
        for found, written in self._objects(rest) if begun else ():
            call = self._call(found)
            if call is None:
                # Without a mark, what is no call is an answer in JSON.
                invalid = [_invalid(self.opening + written)]
                return (before, calls, invalid) if self.opening else (text, [], [])
            calls.append(call)
        return before if calls else text, calls, []

    def _call(self, found: Any) -> ToolCall | None:
        if not isinstance(found, dict):
            return None
        name, arguments = found.get(self.name), found.get(self.arguments, {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return None
        return tool_call(name=name, args=arguments, id=f"call_{uuid4().hex}")

    def _objects(self, text: str) -> Iterator[tuple[Any, str]]:
        at = 0
        while True:
            try:
                found, end = _DECODER.raw_decode(text, at)
            except ValueError:
                yield None, text[at:]
                return
            yield found, text[at:end]
            if not self.between or not text.startswith(self.between, end):
                return
            at = end + len(self.between)


OURS: Final = CallFormat("<tool_call>\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>")
"""For models whose template says nothing about tools; the form most open models are trained on."""


def format_of(codec: TextCodec) -> CallFormat | None:
    """How the chat template of a model writes calls, None if it does not or not as JSON.

    The template is given an answer with two calls, or with one if it refuses two.
    """
    if not codec.shows_tools:
        return None
    for count in (2, 1):
        try:
            written = _probe(codec, count)
        except ModelSpecError:
            continue
        found = _marks(written, count)
        if found is not None and all(
            codec.decode(codec.markup(mark)) == mark
            for mark in (found.opening, found.between or "", found.closing)
        ):
            return found
    return None


def _probe(codec: TextCodec, count: int) -> str:
    """What a template writes for an answer that only calls a tool."""
    function = {"name": _WORD, "description": _WORD, "parameters": closed({"properties": {}})}
    tools = [{"type": "function", "function": function}]
    asked = {"role": "user", "content": _WORD}
    calls = [
        {
            "id": f"{_WORD}{number:04}",
            "type": "function",
            "function": {"name": _WORD, "arguments": _ARGUMENTS},
        }
        for number in range(count)
    ]
    # Where an answer begins and what follows it, from one that is a word.
    answer = {"role": "assistant", "content": _MARKED}
    head, _, tail = codec.rendered([asked, answer], tools, open_ended=False).rpartition(_MARKED)
    called = {"role": "assistant", "content": "", "tool_calls": calls}
    written = codec.rendered([asked, called], tools, open_ended=False)
    return written.removeprefix(head).removesuffix(tail)


def _marks(written: str, count: int) -> CallFormat | None:
    objects: list[tuple[int, int, Mapping[str, Any]]] = []
    at = written.find("{")
    while at >= 0:
        try:
            found, end = _DECODER.raw_decode(written, at)
        except ValueError:
            end = at + 1
        else:
            if isinstance(found, dict) and {_WORD} < {str(value) for value in found.values()}:
                objects.append((at, end, found))
        at = written.find("{", end)
    if len(objects) != count:
        return None
    first = objects[0][2]
    names = [key for key, value in first.items() if value == _WORD]
    arguments = [key for key, value in first.items() if value == _ARGUMENTS]
    if not names or not arguments:
        return None
    between = written[objects[0][1] : objects[1][0]] if count == 2 else None
    return CallFormat(
        written[: objects[0][0]], between, written[objects[-1][1] :], names[0], arguments[0]
    )


def _invalid(written: str) -> InvalidToolCall:
    return invalid_tool_call(args=written, error="the answer ends inside a call, or it is no call")


@dataclass(frozen=True, slots=True)
class Choice:
    """The tools a model may call, whether it must, and whether it may call only one."""

    tools: tuple[Mapping[str, Any], ...]
    required: bool = False
    single: bool = False


def choice_of(choice: Any, tools: Sequence[Mapping[str, Any]]) -> Choice:
    """What `tool_choice` means.

    Args:
        choice: None or `auto`; `none`; `any`, `required` or True; a name, alone or in
            OpenAI's form.
        tools: All tools, in OpenAI's form.

    Raises:
        GrammarError: There is no such tool.
    """
    if isinstance(choice, Mapping):
        choice = choice.get("function", choice).get("name")
    if choice in {None, False, "auto"}:
        return Choice(tuple(tools))
    if choice == "none":
        return Choice(())
    if choice in {"any", "required", True}:
        return Choice(tuple(tools), required=True)
    named = tuple(tool for tool in tools if tool["function"]["name"] == choice)
    if not named:
        names = ", ".join(tool["function"]["name"] for tool in tools) or "none is bound"
        raise GrammarError(f"tool_choice={choice!r}: no such tool; tools: {names}")
    return Choice(named, required=True, single=True)
