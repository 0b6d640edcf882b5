"""Rows of a context that share no cells: each a stream, and what was read kept on the host.

In one buffer for all (`cells.py`) every row looks at the cells of all others, if only to
skip them: with many rows of different questions that is most of the work. Here a row attends to
its own stream alone. What the tree keeps is a copy of the path on the host, from which a branch
is made by copying it back into a free stream.

llama.cpp computes together only streams whose numbers follow each other, so running branches
are kept in the first ones.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from langchain_qstar.models.llamacpp.context import Bytes, Context

READERS: Final = 8
"""Streams for what is read, after those of the rows."""


class Kept:
    """The keys and values of a path, from its first token on, as bytes on the host."""

    __slots__ = ("_gone", "data")

    def __init__(self, data: Bytes, gone: deque[int]) -> None:
        """Hold `data`; its size is left in `gone` when nothing refers to it any more."""
        self.data, self._gone = data, gone

    def __del__(self) -> None:
        # May run on any thread, so it only leaves a note.
        self._gone.append(self.data.nbytes)


@dataclass(slots=True)
class Stretch:
    """The tokens from `start` to `end` (exclusive) of a path that is kept."""

    kept: Kept
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


class Streams:
    """The streams of `context` as branches, and what is kept of paths; in place of `Cells`."""

    readers: Final = READERS

    def __init__(self, context: Context, room: int) -> None:
        """Start with empty streams, which nobody else uses.

        Args:
            context: With separate streams.
            room: Bytes for what is kept on the host.
        """
        self.context = context
        self._room = room
        self._kept = 0
        self._gone: deque[int] = deque()
        rows = context.streams - READERS
        self._free = [list(range(rows)), list(range(rows, context.streams))]
        self._rows = rows
        self._from: dict[int, tuple[Kept, int] | None] = {}

    def crowded(self, growth: int, rows: int) -> bool:  # noqa: ARG002 - rows grow in their streams
        """Whether what is kept takes more than its room."""
        return self.kept_bytes > self._room

    @property
    def kept_bytes(self) -> int:
        """Memory of all that is kept on the host."""
        while self._gone:
            self._kept -= self._gone.popleft()
        return self._kept

    def fork(self, path: Sequence[Stretch], length: int, *, reading: bool = False) -> int:
        """A new branch after the first `length` tokens of a path of stretches.

        Raises:
            MemoryError: All streams are in use.
        """
        return self._filled((path[-1].kept, length) if length else None, reading=reading)

    def twin(self, branch: int) -> int:
        """A new branch that holds what another one holds, which has read nothing yet."""
        return self._filled(self._from[branch], reading=False)

    def _filled(self, source: tuple[Kept, int] | None, *, reading: bool) -> int:
        free = self._free[reading]
        if not free:
            raise MemoryError("all streams of llama.cpp are in use")
        number = free.pop(0)
        self._from[number] = source
        if source is not None:
            kept, end = source
            self.context.restore(number, kept.data)
            self.context.remove(number, end)
        return number

    def decode(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        branches: Sequence[int],
        wanted: Sequence[bool],
    ) -> None:
        """Read tokens into branches; see `Context.decode`."""
        self.context.decode(tokens, positions, branches, wanted)

    def store(self, branch: int, bounds: Sequence[tuple[int, int]]) -> list[Stretch]:
        """End a branch; the tokens that it read become stretches of one copy of its path.

        Args:
            branch: Holds a path and what was read after it.
            bounds: First position and end of every part of what was read, in order.
        """
        kept = Kept(self.context.saved(branch), self._gone)
        self._kept += kept.data.nbytes
        self._end(branch)
        return [Stretch(kept, start, end) for start, end in bounds]

    def drop(self, branch: int) -> None:
        """End a branch and forget what it read."""
        self._end(branch)

    def _end(self, branch: int) -> None:
        self.context.remove(branch)
        del self._from[branch]
        insort(self._free[branch >= self._rows], branch)

    def part(self, stretch: Stretch, count: int) -> tuple[Stretch, Stretch]:
        """The first `count` tokens of a stretch and the rest, in place of it."""
        middle = stretch.start + count
        return replace(stretch, end=middle), replace(stretch, start=middle)

    def share(self, path: Sequence[Stretch], with_path: Stretch) -> None:
        """Let what stands above a stretch be kept by its copy, which holds all of the path."""
        for stretch in path:
            stretch.kept = with_path.kept

    def packed(self, branches: Sequence[int]) -> list[int]:
        """Running branches moved to the first streams; their numbers, in the same order."""
        numbers = list(branches)
        gaps = [number for number in self._free[False] if number < len(numbers)]
        far = [place for place, number in enumerate(numbers) if number >= len(numbers)]
        for place, gap in zip(far, gaps, strict=True):
            old = numbers[place]
            self._free[False].remove(gap)
            self.context.restore(gap, self.context.saved(old))
            self._from[gap] = self._from[old]
            self._end(old)
            numbers[place] = gap
        return numbers
