from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar.nodes.select import stop_reason
from langchain_qstar.settings import QStarSettings

OPEN = QStarSettings(max_pops=None, num_trajectories=2).model_dump()


@pytest.mark.parametrize(
    ("limit", "count", "reason"),
    [
        ("max_pops", "pops", "pops"),
        ("max_tokens", "completion_tokens", "tokens"),
        ("max_completions", "completions", "completions"),
        ("max_seconds", "seconds", "seconds"),
        ("max_nodes", "nodes", "nodes"),
    ],
)
def test_a_budget_ends_a_search_once_it_is_reached(limit: str, count: str, reason: str):
    settings = OPEN | {limit: 5}
    assert stop_reason(0, {count: 4}, settings) is None
    assert stop_reason(0, {count: 5}, settings) == reason
    assert stop_reason(0, {count: 99}, OPEN) is None


def test_enough_trajectories_are_the_first_reason():
    assert stop_reason(2, {"pops": 9}, OPEN | {"max_pops": 5}) == "complete"
    assert stop_reason(1, {}, OPEN) is None


def test_of_two_ended_budgets_the_first_in_the_order_is_told():
    settings: dict[str, Any] = OPEN | {"max_pops": 5, "max_nodes": 5}
    assert stop_reason(0, {"pops": 5, "nodes": 5}, settings) == "pops"
