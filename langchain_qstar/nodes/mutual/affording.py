"""What the budgets leave for the verifier.

Tokens and completions of the verifier count like all others. A search that would spend
everything before its candidates are verified would never verify them, so it ends while
there is enough left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from math import inf
from typing import Any

from langchain_qstar.verification.candidates import Candidate


def expected_cost(
    candidates: Sequence[Candidate], each: int, usage: Mapping[str, float]
) -> dict[str, float]:
    """What verifying the candidates that are not verified yet will cost, by what was spent.

    Args:
        candidates: Those so far.
        each: Completions of one candidate.
        usage: What was used so far; a completion of the verifier is taken to be as long as
            those before it on the mean.

    Returns:
        `completions` and `completion_tokens`.
    """
    completions = each * sum(candidate.completed is None for candidate in candidates)
    drawn = usage.get("completions", 0)
    mean = usage.get("completion_tokens", 0) / drawn if drawn else 0.0
    return {"completions": completions, "completion_tokens": completions * mean}


def affordable(
    candidates: Sequence[Candidate],
    each: int,
    usage: Mapping[str, float],
    settings: Mapping[str, Any],
) -> list[Candidate]:
    """The candidates that the budgets leave completions for, all of them without a budget.

    When they are not enough for all, every answer gets its first before any gets its second.

    Args:
        candidates: Those to verify.
        each: Completions of one candidate.
        usage: What was used so far.
        settings: The budgets by their names.
    """
    if (
        settings.get("max_seconds") is not None
        and usage.get("seconds", 0) >= settings["max_seconds"]
    ):
        return []
    cost = expected_cost(candidates[:1], each, usage)
    limits = (("max_completions", "completions"), ("max_tokens", "completion_tokens"))
    count = min(
        (
            (settings[limit] - usage.get(spent, 0)) / cost[spent] if cost[spent] else inf
            for limit, spent in limits
            if settings.get(limit) is not None
        ),
        default=inf,
    )
    if count >= len(candidates):
        return list(candidates)
    return _in_turn(candidates)[: max(0, int(count))]


def _in_turn(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The first candidate of every answer, then the second of every answer, and so on."""
    answers: dict[str, list[Candidate]] = {}
    for each in sorted(candidates, key=lambda candidate: -candidate.weight):
        answers.setdefault(each.answer, []).append(each)
    return [each for turn in zip_longest(*answers.values()) for each in turn if each is not None]
