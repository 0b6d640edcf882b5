"""Whether a budget is spent: a pure function of what is in the state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_qstar.solution import Stopped

LIMITS: Final[tuple[tuple[Stopped, str, str], ...]] = (
    ("pops", "pops", "max_pops"),
    ("tokens", "completion_tokens", "max_tokens"),
    ("completions", "completions", "max_completions"),
    ("seconds", "seconds", "max_seconds"),
    ("nodes", "nodes", "max_nodes"),
)
"""The reason that a spent budget is, what is counted, and the setting that limits it."""


def spent_budget(spent: Mapping[str, float], settings: Mapping[str, Any]) -> Stopped | None:
    """The first budget that is spent, in the order of `LIMITS`, or None.

    Args:
        spent: What was used so far; a missing count is 0.
        settings: The budgets by their names; one that is missing or None is no limit.
    """
    for reason, count, limit in LIMITS:
        most = settings.get(limit)
        if most is not None and spent.get(count, 0) >= most:
            return reason
    return None
