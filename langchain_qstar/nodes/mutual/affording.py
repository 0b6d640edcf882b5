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

from langchain_qstar.settings import QStarSettings, RStarSettings, VerificationSettings
from langchain_qstar.state.channels import add_usage
from langchain_qstar.tree import ROOT, Nodes, Stats
from langchain_qstar.verification.candidates import Candidate


def completions_each(settings: VerificationSettings) -> int:
    """Completions of one candidate."""
    masks = 1 if settings.random_mask else len(settings.masks)
    return masks * settings.completions_per_mask


def expected_cost(
    completions: int, usage: Mapping[str, float], length: float | None = None
) -> dict[str, float]:
    """What so many completions of `length` tokens cost; by default of the mean so far."""
    drawn = usage.get("completions", 0)
    mean = usage.get("completion_tokens", 0) / drawn if drawn else 0.0
    length = mean if length is None else length
    return {"completions": completions, "completion_tokens": completions * length}


def with_verification(
    nodes: Nodes, stats: Stats, usage: Mapping[str, float], settings: RStarSettings
) -> dict[str, float]:
    """What will have been spent when the solutions so far are verified.

    Those of identical text are counted apart, so that is rather too much.

    Args:
        nodes: The tree.
        stats: What is known about it.
        usage: What was used so far.
        settings: Whether all is verified at the end, and how often each solution.
    """
    if settings.verify != "after":
        return dict(usage)
    waiting = sum(
        record["answer"] is not None and not {"completed", "closed"} & stats.get(node_id, {}).keys()
        for node_id, record in nodes.items()
    )
    return add_usage(dict(usage), expected_cost(waiting * completions_each(settings), usage))


def with_collected(
    nodes: Nodes,
    stats: Stats,
    collected: Sequence[str],
    usage: Mapping[str, float],
    settings: QStarSettings,
) -> dict[str, float]:
    """What will have been spent when the trajectories of a Q* search so far are verified.

    A completion is taken to be as long as the longest of them, which is rather too much.
    """
    waiting = sum("completed" not in stats.get(each, {}) for each in collected)
    each = completions_each(settings)
    return add_usage(dict(usage), expected_cost(waiting * each, usage, longest(nodes, collected)))


def longest(nodes: Nodes, collected: Sequence[str]) -> float:
    """The tokens of the longest trajectory, without the question."""
    return max((nodes[each]["length"] - nodes[ROOT]["length"] for each in collected), default=0)


def affordable(
    candidates: Sequence[Candidate],
    each: int,
    usage: Mapping[str, float],
    settings: Mapping[str, Any],
    length: float | None = None,
) -> list[Candidate]:
    """The candidates that the budgets leave completions for, all of them without a budget.

    When they are not enough for all, every answer gets its first before any gets its second.

    Args:
        candidates: Those to verify.
        each: Completions of one candidate.
        usage: What was used so far.
        settings: The budgets by their names.
        length: Tokens of a completion; by default the mean so far.
    """
    if (
        settings.get("max_seconds") is not None
        and usage.get("seconds", 0) >= settings["max_seconds"]
    ):
        return []
    cost = expected_cost(each, usage, length)
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
