"""Thoughts in text: what a reasoning model writes between `<think>` and `</think>`.

They are kept apart from steps, unless a search is asked to search them (`with_thoughts`).
A thought that was never closed is all thought.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from langchain_qstar.protocols import Task, TextEnd
from langchain_qstar.stepping.thoughts import past_blank_lines

OPENING: Final = "<think>"
CLOSING: Final = "</think>"
CLOSED: Final = f"\n{CLOSING}\n\n"
"""What ends a thought that has used up its budget."""


def apart(text: str) -> tuple[str, str]:
    """What a reply thought, and what it says.

    A thought whose opening the prompt had already is closed without having been opened.

    Returns:
        The thought without its tags, empty when there is none; and the rest.
    """
    before, closed, rest = text.partition(CLOSING)
    begun = before.lstrip()
    if closed:
        return begun.removeprefix(OPENING).strip(), rest.lstrip()
    if begun.startswith(OPENING):
        return begun.removeprefix(OPENING).strip(), ""
    return "", text


def is_cut(text: str) -> bool:
    """Whether a reply ends within the thought that it begins with."""
    return text.lstrip().startswith(OPENING) and CLOSING not in text


def begins(text: str) -> bool:
    """Whether a reply holds a thought, an empty one included."""
    return CLOSING in text or text.lstrip().startswith(OPENING)


def is_open(text: str) -> bool:
    """Whether a reply that begins with a thought is still in it."""
    return CLOSING not in text


def with_thoughts(task: Task) -> Task:
    """The task for solutions that begin with a thought: it neither answers nor ends them."""
    if task.thinks:
        return task

    def is_terminal(text: str) -> bool:
        return not is_open(text) and task.is_terminal(_said(text))

    def answer(text: str) -> str | None:
        return None if is_open(text) else task.answer(_said(text))

    def guess(text: str) -> str | None:
        return None if is_open(text) else task.guess(_said(text))

    return replace(
        task,
        thinks=True,
        is_terminal=is_terminal,
        answer=answer,
        guess=guess,
        step_end=_ending(task.step_end or _line_end(task.stop)),
    )


def _said(text: str) -> str:
    return text.partition(CLOSING)[2]


def _ending(step_end: TextEnd) -> TextEnd:
    """Steps that end with the thought, too: none is partly thought and partly answer."""

    def end(text: str) -> int:
        place = step_end(text)
        closed = text.find(CLOSING)
        if closed >= 0 and (not place or closed < place):
            after = closed + len(CLOSING)
            newline = text.find("\n", after)
            return 0 if newline < 0 else past_blank_lines(text, newline + 1)
        return place

    return end


def _line_end(stop: tuple[str, ...]) -> TextEnd:
    def end(text: str) -> int:
        ends = (at + len(mark) for mark in stop if mark and (at := text.find(mark)) >= 0)
        return min(ends, default=0)

    return end
