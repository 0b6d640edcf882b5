"""A whole solution cut into the steps that a search would have made of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from langchain_qstar.protocols import Task, TextEnd


def pieces(text: str, task: Task) -> list[str]:
    """The steps of a text by the task's `step_end`, or by its `stop` strings.

    Joined they are the text. Blank lines belong to the step before them, and the last
    piece may be the beginning of a step only.
    """
    if task.step_end is not None:
        return list(_by_end(text, task.step_end))
    return _by_stop(text, task.stop)


def _by_end(text: str, step_end: TextEnd) -> Iterator[str]:
    while text:
        end = step_end(text) or len(text)
        if not text[end:].strip():
            end = len(text)
        yield text[:end]
        text = text[end:]


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
