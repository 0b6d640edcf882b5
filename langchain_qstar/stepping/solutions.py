"""Where a whole solution ends: with the step that states its answer.

Few-shot prompts make a model go on with another problem, and many models go on talking.
What comes after the answer is neither read nor, on a local model, paid for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import ClassVar, Final

from langchain_qstar.protocols import Task, TextEnd
from langchain_qstar.stepping.profiles import endless

_REMEMBERED: Final = 8192
"""Beginnings of texts that are known not to end a solution: rows of a batch times steps."""


class SolutionEnd:
    """A `TextEnd` at the end of the first finished step with which a solution is complete.

    It asks about each beginning of a text once, however often it is called while the
    text grows.
    """

    whole: ClassVar[bool] = True

    def __init__(self, task: Task, before: str = "") -> None:
        """See `solution_end`."""
        self._task, self._before = task, before
        self._step_ends = _step_ends(task)
        self._ended = lru_cache(_REMEMBERED)(lambda text: task.is_terminal(before + text))

    def after(self, text: str) -> SolutionEnd:
        """The end of a solution in which `text` comes first."""
        return SolutionEnd(self._task, self._before + text)

    def __call__(self, text: str) -> int:
        """Where the solution ends in `text`, 0 while it does not."""
        return next((each for each in self._step_ends(text) if self._ended(text[:each])), 0)

    def __eq__(self, other: object) -> bool:
        """Whether both end solutions of the same task that begin alike."""
        if not isinstance(other, SolutionEnd):
            return NotImplemented
        return self._before == other._before and self._task == other._task

    def __hash__(self) -> int:
        """As `==` has it; a task itself has no hash."""
        return hash((self._task.name, self._before))


def solution_end(task: Task, before: str = "") -> TextEnd:
    """Where a solution of `task` ends, for `SampleRequest.ends`.

    Args:
        task: Its `step_end`, or else its `stop` strings, end steps; lines do where steps
            are counted in tokens. `is_terminal` says which texts are complete.
        before: What the solution begins with, if the text goes on from there.
    """
    return SolutionEnd(task, before)


def _step_ends(task: Task) -> Callable[[str], Iterator[int]]:
    """From a text to where its finished steps end, in order."""
    if (step_end := task.step_end) is not None and step_end is not endless:

        def by_rule(text: str) -> Iterator[int]:
            place = 0
            while (length := step_end(text[place:])) > 0:
                place += length
                yield place

        return by_rule
    marks = re.compile("|".join(re.escape(each) for each in task.stop if each) or "\n")
    return lambda text: (found.end() for found in marks.finditer(text))
