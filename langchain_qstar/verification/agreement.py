"""Whether completions agree with a candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

Agreement = Literal["loose", "mid", "strict", "majority"]
Equivalent = Callable[[str, str], bool]


def matches(
    answer: str, completed: Sequence[str | None], equivalent: Equivalent
) -> tuple[bool, ...]:
    """Which completions reached `answer`; one that failed or does not parse did not."""
    return tuple(each is not None and equivalent(answer, each) for each in completed)


def survives(
    rule: Agreement, answer: str, completed: Sequence[str | None], equivalent: Equivalent
) -> bool:
    """Whether a candidate survives its completions.

    `loose`: one of them reached its answer; `mid`: half of them or more; `strict`: all;
    `majority`: more of them reached it than any other answer. (The official code takes
    half of the masks, rounded down, however many completions a mask has.)

    Args:
        rule: Which.
        answer: The candidate's answer.
        completed: What the completions reached; None for no answer.
        equivalent: When two answers are the same.

    Source:
        The official code.
    """
    agreeing = sum(matches(answer, completed, equivalent))
    match rule:
        case "loose":
            return agreeing > 0
        case "mid":
            return agreeing > 0 and 2 * agreeing >= len(completed)
        case "strict":
            return agreeing > 0 and agreeing == len(completed)
        case "majority":
            return agreeing > most_common(completed, equivalent, but=answer)


def most_common(completed: Sequence[str | None], equivalent: Equivalent, *, but: str) -> int:
    """How many completions reached the commonest answer other than `but`."""
    others = [each for each in completed if each is not None and not equivalent(but, each)]
    return max((sum(equivalent(each, other) for other in others) for each in others), default=0)
