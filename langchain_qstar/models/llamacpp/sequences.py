"""Which of llama.cpp's sequence numbers stands for which stretch of tokens.

llama.cpp keeps one cell per token and position, and marks it with the numbers of all
sequences it belongs to. It knows 256 numbers, far less than a search has nodes. But a
number that is never decoded may mark anything: so we let one number stand for many
nodes, as long as no two of them share a position. What a node needs is its number and
its positions; marking the cells of a path with a fresh number makes a branch of it.

    number 7   | few-shot examples | question A |      | a step |
    number 8   |                   | question B | step | step   |
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final

MOST: Final = 256
"""Sequences that llama.cpp can tell apart."""


class Stretch:
    """The tokens from `start` to `end` (exclusive), marked with `number`.

    It goes back to where it came from when nothing refers to it any more.
    """

    __slots__ = ("_returned", "end", "number", "start")

    def __init__(self, number: int, start: int, end: int, returned: deque[Cells]) -> None:
        """Hold the positions from `start` to `end` of `number`."""
        self.number, self.start, self.end = number, start, end
        self._returned: deque[Cells] | None = returned

    def __len__(self) -> int:
        return self.end - self.start

    def parted(self, count: int) -> tuple[Stretch, Stretch]:
        """The first `count` tokens and the rest, in place of this stretch."""
        assert self._returned is not None
        returned, self._returned = self._returned, None
        middle = self.start + count
        return (
            Stretch(self.number, self.start, middle, returned),
            Stretch(self.number, middle, self.end, returned),
        )

    def __del__(self) -> None:
        # May run on any thread, so it only leaves a note.
        if self._returned is not None:
            self._returned.append((self.number, self.start, self.end))


Cells = tuple[int, int, int]
"""A number, and the positions from the second to the third (exclusive)."""


class Sequences:
    """Hands out numbers, to running branches and to stretches. Used from one thread."""

    def __init__(self, count: int = MOST, read: int = MOST) -> None:
        """Start with all of `count` numbers free.

        Args:
            count: Of all numbers.
            read: Tokens can be read into the first so many only: those are for branches, and
                for stretches when no other is left.
        """
        self._branches = min(count, read)
        self._free = list(range(self._branches - 1, -1, -1))
        self._others = list(range(count - 1, self._branches - 1, -1))
        self._taken: dict[int, list[tuple[int, int]]] = {}
        """What every number that holds stretches holds, in order."""
        self._returned: deque[Cells] = deque()

    @property
    def free(self) -> int:
        """Numbers for branches."""
        return len(self._free)

    def take(self) -> int:
        """A number for a branch.

        Raises:
            MemoryError: All of them are in use.
        """
        if not self._free:
            raise MemoryError(f"all {MOST} sequences of llama.cpp are in use")
        return self._free.pop()

    def give(self, number: int) -> None:
        """Take back the number of a branch."""
        self._free.append(number)

    def place(self, start: int, end: int, own: int) -> tuple[Stretch, bool]:
        """A place for the tokens from `start` to `end` of the branch `own`.

        Returns:
            A stretch of a number that holds nothing there, and whether that is
            `own`, which then stays behind for it and is no branch any more.
        """
        fitting = (each for each, held in self._taken.items() if _fits(held, start, end))
        number = next(fitting, None)
        if number is None:
            number = self._others.pop() if self._others else own
        insort(self._taken.setdefault(number, []), (start, end))
        return Stretch(number, start, end, self._returned), number == own

    def part(self, stretch: Stretch, count: int) -> tuple[Stretch, Stretch]:
        """The first `count` tokens of a stretch and the rest, in place of it."""
        held = self._taken[stretch.number]
        held.remove((stretch.start, stretch.end))
        parts = stretch.parted(count)
        for part in parts:
            insort(held, (part.start, part.end))
        return parts

    def collect(self) -> list[Cells]:
        """What was returned since the last time; numbers that hold nothing more are free."""
        returned = []
        while self._returned:
            cells = self._returned.popleft()
            returned.append(cells)
            number, start, end = cells
            held = self._taken[number]
            held.remove((start, end))
            if not held:
                del self._taken[number]
                (self._free if number < self._branches else self._others).append(number)
        return returned


def _fits(held: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether the positions from `start` to `end` are free among `held`, which is in order."""
    at = bisect_left(held, (start, end))
    after = at == len(held) or held[at][0] >= end
    return after and (not at or held[at - 1][1] <= start)
