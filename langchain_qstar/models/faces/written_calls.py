"""Calls of tools while they are written, as chunks of LangChain.

A call is told as soon as its name is there, and its arguments as they come, as text. This
relies on the grammar of calls, by which nothing but a call begins like one; what is written
otherwise is told at the end, as it is read there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall, ToolCallChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.utils.json import parse_partial_json

from langchain_qstar.models.faces.tool_calls import CallFormat

_DECODER: Final = json.JSONDecoder()
_SPOILERS: Final = ("]", "}", '"]', '"}', '""]', '""}')
"""Ends of which one makes any beginning of an object something else than an object."""


class WrittenCalls:
    """Makes chunks of the calls in one answer."""

    def __init__(self, form: CallFormat, names: Sequence[str]) -> None:
        """Listen for calls of tools with these names, written in a form."""
        self._form = form
        known = "|".join(re.escape(json.dumps(name)) for name in names)
        self._head = re.compile(
            f'{{"{re.escape(form.name)}": ({known}), "{re.escape(form.arguments)}": '
        )
        self._told: list[str] = []
        """The arguments of each call, as far as they were told."""
        self._at: int | None = None
        self._sent = 0
        self._inside = False

    def add(self, text: str) -> list[ToolCallChunk]:
        """What is new in an answer that has come so far as `text`."""
        if self._at is None:
            begins = text.find(self._form.opening) if self._form.opening else 0
            if begins < 0:
                return []
            self._at = begins + len(self._form.opening)
        return joined(self._read_on(text))

    def _read_on(self, text: str) -> Iterator[ToolCallChunk]:
        assert self._at is not None
        while True:
            if not self._inside:
                head = self._head.match(text, self._at)
                if head is None:
                    return
                self._inside, self._at, self._sent = True, head.end(), head.end()
                self._told.append("")
                yield self._chunk(name=json.loads(head[1]), args="", new=True)
            end = _end_of_object(text, self._at)
            until = len(text) if end is None else end
            if fresh := text[self._sent : until]:
                self._sent = until
                self._told[-1] += fresh
                yield self._chunk(args=fresh)
            between = f"}}{self._form.between}"
            if end is None or not self._form.between or not text.startswith(between, end):
                return
            self._inside, self._at = False, end + len(between)

    def end(
        self, calls: Sequence[ToolCall], invalid: Sequence[InvalidToolCall]
    ) -> list[ToolCallChunk]:
        """What is left to tell of an answer that holds these calls in all.

        One that was told of and then cut must not look like a call when its chunks are
        joined: LangChain closes what is open. So its arguments are ended in a way that
        nothing can read.
        """
        if len(self._told) > len(calls):
            return [self._chunk(args=_spoiler(self._told[-1]))]
        whole = [(call["name"], json.dumps(call["args"]), call["id"]) for call in calls]
        cut = [(call["name"], call["args"], call["id"]) for call in invalid]
        return [
            tool_call_chunk(name=name, args=args, id=identity, index=number)
            for number, (name, args, identity) in enumerate([*whole, *cut])
            if number >= len(self._told)
        ]

    def _chunk(self, *, args: str, name: str | None = None, new: bool = False) -> ToolCallChunk:
        identity = f"call_{uuid4().hex}" if new else None
        return tool_call_chunk(name=name, args=args, id=identity, index=len(self._told) - 1)


def joined(chunks: Iterable[ToolCallChunk]) -> list[ToolCallChunk]:
    """One chunk a call: LangChain joins those of several messages, not those of one."""
    calls: dict[int | None, ToolCallChunk] = {}
    for chunk in chunks:
        before = calls.get(chunk["index"])
        calls[chunk["index"]] = (
            {**before, "args": f"{before['args'] or ''}{chunk['args'] or ''}"} if before else chunk
        )
    return list(calls.values())


def _end_of_object(text: str, at: int) -> int | None:
    """Where the JSON that begins at `at` ends, None while it does not."""
    try:
        _, end = _DECODER.raw_decode(text, at)
    except ValueError:
        return None
    return end


def _spoiler(args: str) -> str:
    """An end for `args` with which they are no object, also where LangChain mends them."""
    return next(each for each in _SPOILERS if not _is_object(args + each))


def _is_object(text: str) -> bool:
    try:
        return isinstance(parse_partial_json(text), dict)
    except ValueError:
        return False
