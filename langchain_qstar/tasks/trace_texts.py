"""How a trace reads in prompts: its lines without their labels, as steps, as hints, as questions.

What a model wrote is data: a label it repeats or sets in bold is no part of the text,
and neither is another problem that it goes on to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from langchain_qstar.actions import Thought, Trace, context_of
from langchain_qstar.protocols import Step

PART_OF: Final = "Answer only this question about it: "
"""Before a sub-question of a problem that is one sentence, with all conditions in it."""

LABEL: Final = re.compile(
    r"[\s*_#]*(?P<label>(?:Step|Question|Answer|Hint) \d+|Solution|Conditions)[*_]*:"
    r"(?:[\s*_]*(?P=label)[*_]*:)?[\s*_]*"
)
"""What a line of the prompts opens with."""

_STATED: Final = re.compile(
    r"(?:(?<=[.!?$)}])[ \t]+|^)(?:(?:So|Thus|Hence|Therefore),?\s+)?the (?:final )?answer is\b:?",
    re.IGNORECASE | re.MULTILINE,
)
"""How a sentence begins that states the answer."""

_NEXT_PROBLEM: Final = re.compile(r"^\W*Problem:", re.MULTILINE)


def body(text: str) -> str:
    """A text without its label, and without a problem after it that nobody asked about."""
    written = LABEL.sub("", text, count=1) if LABEL.match(text) else text
    return _NEXT_PROBLEM.split(written, maxsplit=1)[0].strip()


def one_line(text: str) -> str:
    """The body of a text on one line."""
    return " ".join(body(text).split())


def stated_apart(text: str) -> str:
    """A body with each sentence that states the answer on a line of its own."""
    return _STATED.sub(lambda found: f"\n{found.group().strip()}", body(text)).strip()


def as_step(thought: Thought) -> str:
    """A thought as one step of a solution: of a sub-answer what leads to its result.

    A sub-answer that is nothing but its result is one with its question.
    """
    text = one_line(thought.step.text)
    if thought.subquestion is None:
        return text
    stated = list(_STATED.finditer(text))
    reasons = text[: stated[-1].start()].strip() if stated else text
    return reasons or f"{one_line(thought.subquestion.text)} {text[stated[-1].end() :].strip()}"


def asked(trace: Trace) -> str:
    """The problem as it is asked: its rephrasing, if there is one."""
    return trace.question if trace.rephrased is None else one_line(trace.rephrased.text)


def with_hints(question: str, thoughts: Iterable[Thought]) -> str:
    """A problem, and under it what was found out: a line a thought."""
    hints = (f"Hint {number}: {_hint(each)}" for number, each in enumerate(thoughts, 1))
    return "\n".join((question, *hints))


def _hint(thought: Thought) -> str:
    found = one_line(thought.step.text)
    if thought.subquestion is None:
        return found
    return f"{one_line(thought.subquestion.text)} {found}"


def exchange(trace: Trace) -> list[str]:
    """The sub-questions and their answers so far, numbered."""
    pairs = [
        (each.subquestion, each.step) for each in trace.thoughts if each.subquestion is not None
    ]
    return [line for number, pair in enumerate(pairs, 1) for line in _pair(number, *pair)]


def _pair(number: int, question: Step, answer: Step) -> tuple[str, str]:
    return (
        f"Question {number}: {one_line(question.text)}",
        f"Answer {number}: {one_line(answer.text)}",
    )


def last_alone(trace: Trace) -> str:
    """The last sub-question under the conditions of the problem, as a problem by itself.

    Where the official code finds no conditions, since the problem is one sentence, it
    asks the bare sub-question; here the problem is shown whole.
    """
    subquestion = trace.thoughts[-1].subquestion
    question = "" if subquestion is None else one_line(subquestion.text)
    problem = asked(trace)
    conditions = context_of(problem)
    if not conditions:
        return f"{problem}\n{PART_OF}{question}"
    return f"{conditions} {question if trace.rephrased is None else f'Question: {question}'}"
