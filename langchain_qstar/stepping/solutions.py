"""Where a whole solution ends: after the step that states the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from langchain_qstar.protocols import Task, TextEnd

_REMEMBERED: Final = 8192
"""Beginnings of texts that are known not to end a solution: rows of a batch times steps."""


def solution_end(task: Task, before: str = "") -> TextEnd:
    r"""What ends the text of a solution: its first finished step that makes it complete.

    Without it a model goes on after its answer, often with a question of its own, and is
    charged for that.

    Args:
        task: Its `step_end`, or else its `stop` strings, end steps; `is_terminal` says
            which texts are complete.
        before: What the solution begins with, if the text goes on from there.

    Returns:
        A function that asks about each beginning of a text once, however often it is
        called while the text grows.
    """
    ended = lru_cache(_REMEMBERED)(lambda text: task.is_terminal(before + text))
    next_end = _step_ends(task)

    def end(text: str) -> int:
        return next((each for each in next_end(text) if ended(text[:each])), 0)

    return end


def _step_ends(task: Task) -> Callable[[str], Iterator[int]]:
    """From a text to where its finished steps end, in order."""
    if (step_end := task.step_end) is not None:

        def by_rule(text: str) -> Iterator[int]:
            place = 0
            while (length := step_end(text[place:])) > 0:
                place += length
                yield place

        return by_rule
    marks = re.compile("|".join(re.escape(each) for each in task.stop if each) or "\n")
    return lambda text: (found.end() for found in marks.finditer(text))
