"""A whole solution cut into the steps that a search would have made of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import Final

from langchain_qstar.protocols import Task, TextEnd
from langchain_qstar.stepping.profiles import endless

_SAYS: Final = re.compile(r"[^\W_]")
_WINDOW: Final = 4096
"""Characters in which nearly every step ends."""


def pieces(text: str, task: Task) -> list[str]:
    """The steps of a text by the task's `step_end`, or by its `stop` strings.

    Joined they are the text. Blank lines belong to the step before them, and so does what
    is left at the end without a word; the last piece may be the beginning of a step only.
    Steps that end by their number of tokens are not told by a text: it is cut into lines.
    """
    if task.step_end is not None and task.step_end is not endless:
        return list(_by_end(text, task.step_end))
    return _by_stop(text, task.stop)


def _by_end(text: str, step_end: TextEnd) -> Iterator[str]:
    says = [match.start() for match in islice(_SAYS.finditer(text[::-1]), 1)]
    last = len(text) - says[0] if says else 0
    at = 0
    while at < len(text):
        end = _end_from(text, at, step_end)
        end = end if at < end < last else len(text)
        yield text[at:end]
        at = end


def _end_from(text: str, at: int, step_end: TextEnd) -> int:
    """Where the step ends that begins at `at`, 0 if nowhere.

    It is looked for in a window first: what follows a step does not move its end, and a
    copy of the rest for every step would take a time that grows with the square of the text.
    """
    size = _WINDOW
    while size < len(text) - at:
        window = text[at : at + size]
        if 0 < (end := step_end(window)) < len(window):
            return at + end
        size *= 4
    end = step_end(text[at:])
    return at + end if end else 0


def _by_stop(text: str, stop: Sequence[str]) -> list[str]:
    marks = "|".join(re.escape(mark) for mark in stop if mark)
    if not text or not marks:
        return [text] if text else []
    cuts = [0, *(match.end() for match in re.finditer(marks, text)), len(text)]
    found = [text[a:b] for a, b in pairwise(cuts) if a < b]
    joined: list[str] = []
    for piece in found:
        if joined and not piece.strip():
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined
