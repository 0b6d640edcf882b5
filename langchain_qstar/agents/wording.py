"""A solution in the words that an agent, or a person who talks with one, reads."""

from __future__ import annotations

from typing import Final

from langchain_core.messages import AIMessage

from langchain_qstar.chains.solver import message_of
from langchain_qstar.rendering import STOPPED, plain, refutation
from langchain_qstar.solution import Solution

MOST_STEPS: Final = 12
"""Steps that are told; of a longer solution the last ones."""

MOST_CHARACTERS: Final = 200
"""Of one step."""


def report_of(solution: Solution) -> str:
    """The answer, what is known about it, and the steps in short.

    What a model wrote is told as single lines without control characters.
    """
    if solution.answer is None:
        return f"{no_answer(solution)} Ask in other words, or ask a simpler question first."
    answer = f"Answer: {plain(solution.answer)}"
    known = [f"Verified: {_verdict(solution)}", *_agreement(solution)]
    return "\n".join([answer, *known, "Steps:", *_steps(solution)])


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
    """That no answer was found, and why; or what refutes the one that was, and is withheld."""
    told = f"No answer was found: {STOPPED[solution.stopped]}."
    refuted = refutation(solution.model_dump(include={"verified", "steps"}))
    return f"{told} What was found is refuted: {refuted}." if refuted else told


def _verdict(solution: Solution) -> str:
    by = ", ".join(solution.verified_by)
    if solution.verified:
        return f"yes, by {by}"
    if solution.verified is False:
        refuted = refutation(solution.model_dump(include={"verified", "steps"}))
        return f"no, {refuted}; do not rely on it"
    if solution.calculations == "hold":
        return "no; its calculations hold, which does not say that they are the right ones"
    return "no, nothing could check it"


def _agreement(solution: Solution) -> list[str]:
    """What a second model thinks of it, which saw some of its steps."""
    if solution.agreed is None:
        return []
    return [f"A second model: {'agrees' if solution.agreed else 'disagrees'}"]


def _steps(solution: Solution) -> list[str]:
    lines = [
        f"{number}. {_short(plain(step.text))}" for number, step in enumerate(solution.steps, 1)
    ]
    left_out = len(lines) - MOST_STEPS
    return lines if left_out <= 0 else [f"({left_out} steps before these)", *lines[-MOST_STEPS:]]


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
