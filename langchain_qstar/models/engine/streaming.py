"""A completion while it is being written: pieces of text whose end is certain.

A piece is held back while it may still change: half a character, the beginning of a
stop string, and what may turn out to be a thought: blank text, and its opening. Joined, the
pieces are the text of the completion.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias

from langchain_qstar.models.engine.rows import Drawn, Row
from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.protocols import Completion, Likeliest, Listener, SampleRequest
from langchain_qstar.stepping.thinking import OPENING

_BROKEN: Final = "\ufffd"
"""What a part of a character decodes to."""


Hear: TypeAlias = Callable[[Drawn], None]
Submit: TypeAlias = Callable[[Hear], Future[Any]]
"""Hands a row to the engine with who hears of its tokens."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The next part of a completion.

    `token_ids`, `logprobs` and `likeliest` are those that became certain with it. The
    last piece, and no other, has the whole `completion`, how it ended and what it cost.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    completion: Completion | None = None
    likeliest: tuple[Likeliest, ...] = ()


class Pieces:
    """Makes pieces of the tokens of one row."""

    def __init__(
        self, codec: TextCodec, context: Sequence[int], stop: Sequence[str], prefill: str
    ) -> None:
        """Start after `context`, whose last part is `prefill`, which is in the text."""
        self._codec = codec
        self._context = tuple(context)
        self._stop = tuple(stop)
        self._prefill = prefill
        self._given = codec.encode(prefill)
        self._begin(0)

    def _begin(self, thought: int) -> None:
        self._thought = thought
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._likeliest: list[Likeliest] = []
        self._decoded = self._told = 0
        self._text, self._held = "", self._prefill

    def add(self, drawn: Drawn) -> Piece | None:
        """What is certain after one more token, if anything new is."""
        if drawn.thought > self._thought:
            self._begin(drawn.thought)  # so far it was blank
        if drawn.thought < self._thought or drawn.index != len(self._ids):
            return None  # told again by a row that had to start again
        self._ids.append(drawn.token)
        self._logprobs.append(drawn.logprob)
        self._likeliest.append(drawn.likeliest)
        before = (*self._context, *self._ids[: self._decoded])
        fresh = self._codec.decode(self._ids[self._decoded :], before)
        if fresh.endswith(_BROKEN):
            return None
        self._decoded = len(self._ids)
        self._held += fresh
        certain = self._held[: len(self._held) - begun(self._held, self._stop)]
        if OPENING.startswith((self._text + certain).strip()):
            return None  # blank, or what may become a thought
        self._held = self._held[len(certain) :]
        if not certain:
            return None
        given = self._given
        return self._piece(
            certain,
            (*given, *self._ids),
            (*(0.0 for _ in given), *self._logprobs),
            (*(() for _ in given), *self._likeliest),
        )

    def end(self, completion: Completion) -> Piece:
        """The last piece: all that was not told."""
        rest = completion.text[len(self._text) :]
        ids = completion.token_ids or ()
        piece = self._piece(rest, ids, completion.logprobs, completion.likeliest)
        return replace(piece, completion=completion)

    def _piece(
        self,
        text: str,
        ids: Sequence[int],
        logprobs: Sequence[float],
        likeliest: Sequence[Likeliest],
    ) -> Piece:
        told, self._told = self._told, len(ids)
        self._text += text
        return Piece(
            text, tuple(ids[told:]), tuple(logprobs[told:]), likeliest=tuple(likeliest[told:])
        )


class Overheard:
    """Tells of many rows while they run."""

    def __init__(
        self,
        codec: TextCodec,
        requests: Sequence[SampleRequest],
        groups: Sequence[Sequence[Row]],
        listener: Listener,
    ) -> None:
        """Listen to `groups`, the rows of `requests`, which nobody runs yet."""
        self._listener = listener
        self._pieces: dict[tuple[int, int], Pieces] = {}
        for number, (request, rows) in enumerate(zip(requests, groups, strict=True)):
            for sample, row in enumerate(rows):
                if listener.finished is not None:
                    row.finished = partial(self._finished, number, request.prefill)
                if listener.piece is not None:
                    place = number, sample
                    self._pieces[place] = Pieces(codec, row.context, request.stop, request.prefill)
                    row.listener = partial(self._hear, place)

    def _finished(self, number: int, prefill: str, text: str) -> None:
        """Tell of a row's own text after what it was given."""
        assert self._listener.finished is not None
        self._listener.finished(number, prefill + text)

    def _hear(self, place: tuple[int, int], drawn: Drawn) -> None:
        if piece := self._pieces[place].add(drawn):
            self._tell(place, piece)

    def _tell(self, place: tuple[int, int], piece: Piece) -> None:
        assert self._listener.piece is not None
        self._listener.piece(*place, piece.text)

    def end(self, groups: list[list[Completion]]) -> list[list[Completion]]:
        """Tell what is left of the pieces of every completion, and return them all."""
        for place, pieces in self._pieces.items():
            rest = pieces.end(groups[place[0]][place[1]])
            if rest.text:
                self._tell(place, rest)
        return groups


def begun(text: str, stop: Sequence[str]) -> int:
    """How many last characters of `text` may be the beginning of a stop string."""
    return max(
        (
            size
            for mark in stop
            for size in range(1, min(len(mark), len(text) + 1))
            if text.endswith(mark[:size])
        ),
        default=0,
    )


def stream(
    submit: Submit,
    pieces: Pieces,
    finish: Callable[[Any], Completion],
    timeout: float | None = None,
) -> Iterator[Piece]:
    """The pieces of a row while it runs; closing the iterator frees the row.

    Args:
        submit: Hands the row to the engine, with this listener.
        pieces: Makes the pieces.
        finish: The completion, from what the engine's future resolves to.
        timeout: Most seconds until the last piece.

    Raises:
        TimeoutError: It took longer.
    """
    end = None if timeout is None else time.monotonic() + timeout
    drawn: queue.SimpleQueue[Drawn | None] = queue.SimpleQueue()
    future = submit(drawn.put)
    future.add_done_callback(lambda _: drawn.put(None))
    try:
        while (latest := _next(drawn, end)) is not None:
            if piece := pieces.add(latest):
                yield piece
        yield pieces.end(finish(future.result()))
    finally:
        future.cancel()


def _next(drawn: queue.SimpleQueue[Drawn | None], end: float | None) -> Drawn | None:
    if end is None:
        return drawn.get()
    # An engine that is faster than its reader leaves no moment at which the queue is empty.
    if (left := end - time.monotonic()) <= 0:
        raise TimeoutError
    try:
        return drawn.get(timeout=left)
    except queue.Empty:
        raise TimeoutError from None


async def astream(
    submit: Submit,
    pieces: Pieces,
    finish: Callable[[Any], Completion],
    timeout: float | None = None,  # noqa: ASYNC109 - a generator cannot be timed from outside
) -> AsyncGenerator[Piece]:
    """As `stream`, without blocking the event loop."""
    end = None if timeout is None else asyncio.get_running_loop().time() + timeout
    drawn: asyncio.Queue[Drawn | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def tell(latest: Drawn | None) -> None:
        # A loop that has been closed has nobody left to tell.
        if not loop.is_closed():
            loop.call_soon_threadsafe(drawn.put_nowait, latest)

    future = submit(tell)
    future.add_done_callback(lambda _: tell(None))
    try:
        while True:
            async with asyncio.timeout_at(end):
                latest = await drawn.get()
            if latest is None:
                break
            if piece := pieces.add(latest):
                yield piece
        yield pieces.end(finish(future.result()))
    finally:
        future.cancel()
