"""A solution in the words that an agent, or a person who talks with one, reads."""

from __future__ import annotations

from typing import Final

from langchain_core.messages import AIMessage

from langchain_qstar.chains.solver import message_of
from langchain_qstar.rendering import STOPPED, plain
from langchain_qstar.solution import Solution

MOST_STEPS: Final = 12
"""Steps that are told; of a longer solution the last ones."""

MOST_CHARACTERS: Final = 200
"""Of one step."""


def report_of(solution: Solution) -> str:
    """The answer, whether it is verified, and the steps in short.

    What a model wrote is told as single lines without control characters.
    """
    if solution.answer is None:
        return f"{no_answer(solution)} Ask in other words, or ask a simpler question first."
    answer = f"Answer: {plain(solution.answer)}"
    return "\n".join([answer, f"Verified: {_verdict(solution)}", "Steps:", *_steps(solution)])


def reply_of(solution: Solution) -> AIMessage:
    """The solution as what a chat model says: its steps, which end with the answer.

    Without an answer it says so. Usage, answer and the rest of the solution, but
    for steps and tree, are in the metadata, as for a chain with `output="message"`.
    """
    message = message_of(solution)
    if solution.answer is not None:
        return message
    return message.model_copy(update={"content": no_answer(solution)})


def no_answer(solution: Solution) -> str:
    """That no answer was found, and why."""
    return f"No answer was found: {STOPPED[solution.stopped]}."


def _verdict(solution: Solution) -> str:
    by = ", ".join(solution.verified_by)
    if solution.verified:
        return f"yes, by {by}"
    if solution.verified is None:
        return "no, nothing could check it"
    failed = [
        f"{check.name}: {plain(check.reason)}"
        for step in solution.steps
        for check in step.checks
        if check.verdict == "failed"
    ]
    return f"no, a check failed ({failed[0]}); do not rely on it"


def _steps(solution: Solution) -> list[str]:
    lines = [
        f"{number}. {_short(plain(step.text))}" for number, step in enumerate(solution.steps, 1)
    ]
    left_out = len(lines) - MOST_STEPS
    return lines if left_out <= 0 else [f"({left_out} steps before these)", *lines[-MOST_STEPS:]]


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
