"""Grading: the only place where a gold answer meets what a method said."""

from __future__ import annotations

from typing import Literal

from langchain_qstar.protocols import Task

Grade = Literal["right", "wrong", "unparsed"]
"""`unparsed`: no answer was found, which says more about form than about reasoning."""


def grade(answer: str | None, gold: str, task: Task) -> Grade:
    """Compare an extracted answer with the gold answer, as the task compares answers.

    Args:
        answer: What `Solution.answer` or `Task.answer` gave; None is `unparsed`.
        gold: The right answer, as the data set writes it.
        task: Reads the gold answer, and says which answers are the same.

    Raises:
        InputError: The task cannot read the gold answer.
    """
    right = task.right_answer(gold)
    if answer is None:
        return "unparsed"
    return "right" if task.equivalent(right, answer) else "wrong"


def grade_text(text: str, gold: str, task: Task) -> Grade:
    """Grade a whole solution by the answer that it states, or else guesses (`Task.read`)."""
    return grade(task.read(text)[0], gold, task)
