"""The budgets of a search: what they leave, what is kept back, and whether one is spent.

Pure functions of what is in the state. What the calls of a node may spend follows from the
budgets of its round, less what was spent (`left_of`); `Phase` holds them to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from langchain_qstar.solution import Stopped
from langchain_qstar.spending.allowance import Allowance, allowance_of, cut_of
from langchain_qstar.tree import ROOT, NodeRecord, Nodes

LIMITS: Final[tuple[tuple[Stopped, str, str], ...]] = (
    ("pops", "pops", "max_pops"),
    ("tokens", "completion_tokens", "max_tokens"),
    ("completions", "completions", "max_completions"),
    ("seconds", "seconds", "max_seconds"),
    ("nodes", "nodes", "max_nodes"),
)
"""The reason that a spent budget is, what is counted, and the setting that limits it."""

Budgets = dict[str, float | None]
"""By their names in the settings; None is no limit."""


def budgets_of(root: NodeRecord) -> Budgets:
    """The budgets of a run: its settings', or what earlier runs left of the thread's."""
    of_run = root["run"]["settings"] | root.get("left", {})
    return {limit: of_run.get(limit) for _, _, limit in LIMITS}


def less(budgets: Mapping[str, float | None], kept: Mapping[str, float]) -> Budgets:
    """Budgets without what is kept back of their counts; none is below 0."""
    counts = {limit: count for _, count, limit in LIMITS}
    return {
        limit: None if most is None else max(0, most - kept.get(counts[limit], 0))
        for limit, most in budgets.items()
    }


def for_completion(budgets: Mapping[str, float | None], share: float) -> dict[str, float]:
    """What is kept back for the completion of a search that has found nothing complete.

    Args:
        budgets: Of the run.
        share: `completion_share` of its settings.

    Returns:
        Counts: that share of the tokens and of the seconds, and one completion.
    """
    tokens, seconds = budgets.get("max_tokens"), budgets.get("max_seconds")
    return {
        "completion_tokens": ceil(share * (tokens or 0)),
        "seconds": share * (seconds or 0.0),
        "completions": 1,
    }


def completes(settings: Mapping[str, Any]) -> bool:
    """Whether a search that finds nothing complete is to complete something at its end."""
    return bool(settings["fallback"]) and "answer" not in settings["interrupt"]


def spent_budget(spent: Mapping[str, float], settings: Mapping[str, Any]) -> Stopped | None:
    """The first budget that is spent, in the order of `LIMITS`, or None.

    One that cut something short is spent, whatever is left of it.

    Args:
        spent: What was used so far; a missing count is 0.
        settings: The budgets by their names; one that is missing or None is no limit.
    """
    for reason, count, limit in LIMITS:
        most = settings.get(limit)
        if most is not None and spent.get(count, 0) >= most:
            return reason
    return cut_of(spent)


def left_of_run(view: Mapping[str, Any]) -> Allowance | None:
    """What a node that ends a search may spend: all that is left of the budgets of the run."""
    nodes: Nodes = view["nodes"]
    return allowance_of(budgets_of(nodes[ROOT]), view["usage"])
