"""Questions with their gold answers, which grade rollouts and go nowhere else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from langchain_qstar.errors import LabelError
from langchain_qstar.problems.generator import make_problem

FIRST_SEED: Final = 2**48
"""Problem seeds from here up are never drawn for the bundled model's own training."""

_NAMED: Final = 5
"""Bad lines that an error names before it says how many more there are."""


@dataclass(frozen=True, slots=True)
class GradedQuestion:
    """A question, and the answer that decides which rollouts are right.

    The answer is as the data set writes it; the task reads it (`Task.gold`). `source` says
    where it was read, such as `gsm8k.jsonl, line 3`.
    """

    question: str
    answer: str
    source: str = field(default="", compare=False)


def read_questions(path: Path | str, *, skip_bad: bool = False) -> list[GradedQuestion]:
    """The lines `{"question": ..., "answer": ...}` of a JSONL file, each question once.

    Args:
        path: The file; blank lines are passed over, other keys are ignored. An answer may
            be text, a number, `true` or `false`; `collect_labels` refuses what the task
            cannot read.
        skip_bad: Leave out lines that cannot be used instead of refusing the file.

    Raises:
        LabelError: There is no such file, it has no question, or it has lines that
            cannot be used; the message gives their numbers.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise LabelError(f"cannot read {path}: {error.strerror or error}") from None
    questions: dict[str, GradedQuestion] = {}
    bad: list[int] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        question = _question(line, f"{path}, line {number}")
        if question is None:
            bad.append(number)
        else:
            questions.setdefault(question.question, question)
    if bad and not skip_bad:
        raise LabelError(
            f'{path}: {numbered(bad)} not {{"question": ..., "answer": ...}}; '
            "mend the file or pass --skip-bad"
        )
    if not questions:
        raise LabelError(f"{path} holds no questions")
    return list(questions.values())


def numbered(lines: Sequence[int]) -> str:
    """`line 3 is`, `lines 3, 5 are`, with a count for those that are too many to name."""
    named = ", ".join(map(str, lines[:_NAMED]))
    if len(lines) == 1:
        return f"line {named} is"
    more = f" and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return f"lines {named}{more} are"


def nano_questions(count: int, seed: int = 1) -> list[GradedQuestion]:
    """Fresh problems of the bundled model's train split, 2 to 10 steps in equal shares.

    Args:
        count: How many.
        seed: From 0 up; another seed gives other problems.
    """
    first = FIRST_SEED + seed * 10**7
    problems = [make_problem("train", 2 + number % 9, first + number) for number in range(count)]
    return [GradedQuestion(problem.question, str(problem.answer)) for problem in problems]


def _question(line: bytes, source: str) -> GradedQuestion | None:
    try:
        given = json.loads(line)
        question, answer = given["question"], given["answer"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if isinstance(answer, (bool, int, float)):
        answer = str(answer)
    if not isinstance(question, str) or not isinstance(answer, str):
        return None
    if not question.strip() or not answer.strip():
        return None
    return GradedQuestion(question, answer, source)
