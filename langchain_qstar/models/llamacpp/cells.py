"""The cells of a context as branches and stretches, counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from langchain_qstar.models.llamacpp.context import Context
from langchain_qstar.models.llamacpp.sequences import Sequences, Stretch

READERS: Final = 8
"""Chains that are read together; each needs a sequence of its own meanwhile."""

_SLACK: Final = 4
"""One in so many cells is kept free for what is read next."""


class Cells:
    """What the memory of `context` holds, and under which numbers."""

    readers: Final = READERS

    def __init__(self, context: Context) -> None:
        """Start with an empty context, which nobody else uses."""
        self.context = context
        self._sequences = Sequences(read=context.sequences)
        self._used = 0
        self._read: dict[int, int] = {}
        """How many tokens were read into every branch."""

    @property
    def free(self) -> int:
        """Cells for more tokens."""
        self._tidy()
        return self.context.cells - self._used

    @property
    def free_numbers(self) -> int:
        """Sequences for more branches."""
        self._tidy()
        return self._sequences.free

    def crowded(self, growth: int, rows: int) -> bool:
        """Whether `growth` tokens of branches and `rows` more of them may not find room."""
        lacks_cells = self.free < growth + self.context.cells // _SLACK
        return lacks_cells or self.free_numbers < rows + READERS

    def packed(self, branches: Sequence[int]) -> list[int]:
        """Running branches, which may have any numbers."""
        return list(branches)

    def share(self, path: Sequence[Stretch], with_path: Stretch) -> None:
        """Nothing: cells are shared anyway."""

    def fork(self, path: Sequence[Stretch], length: int, *, reading: bool = False) -> int:  # noqa: ARG002
        """A new branch after the first `length` tokens of a path of stretches.

        Raises:
            MemoryError: There are too many branches and stretches.
        """
        self._tidy()
        number = self._sequences.take()
        self._read[number] = 0
        for stretch in path:
            end = min(stretch.end, length)
            if stretch.start < end:
                self.context.copy(stretch.number, number, stretch.start, end)
        return number

    def twin(self, branch: int) -> int:
        """A new branch that holds what another one holds, which has read nothing yet."""
        number = self._sequences.take()
        self._read[number] = 0
        self.context.copy(branch, number, 0, -1)
        return number

    def decode(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        branches: Sequence[int],
        wanted: Sequence[bool],
    ) -> None:
        """Read tokens into branches; see `Context.decode`."""
        self._tidy()
        self.context.decode(tokens, positions, branches, wanted)
        self._used += len(tokens)
        for branch in branches:
            self._read[branch] += 1

    def store(self, branch: int, bounds: Sequence[tuple[int, int]]) -> list[Stretch]:
        """End a branch; the tokens that it read become stretches.

        Args:
            branch: Holds a path and what was read after it.
            bounds: First position and end of every part of what was read, in order.
        """
        placed = [self._sequences.place(start, end, branch) for start, end in bounds]
        for stretch, own in placed:
            if not own:
                self.context.copy(branch, stretch.number, stretch.start, stretch.end)
        held = [stretch for stretch, own in placed if own]
        at = 0
        for stretch in held:
            if at < stretch.start:
                self.context.remove(branch, at, stretch.start)
            at = stretch.end
        self.context.remove(branch, at)
        del self._read[branch]
        if not held:
            self._sequences.give(branch)
        return [stretch for stretch, _ in placed]

    def drop(self, branch: int) -> None:
        """End a branch and forget what it read."""
        self.context.remove(branch)
        self._used -= self._read.pop(branch)
        self._sequences.give(branch)

    def part(self, stretch: Stretch, count: int) -> tuple[Stretch, Stretch]:
        """The first `count` tokens of a stretch and the rest, in place of it."""
        self._tidy()
        return self._sequences.part(stretch, count)

    def _tidy(self) -> None:
        """Free the cells of stretches that nothing refers to any more."""
        for number, start, end in self._sequences.collect():
            self.context.remove(number, start, end)
            self._used -= end - start
