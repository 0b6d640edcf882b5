from __future__ import annotations

import pytest

from langchain_qstar.nodes.mutual.affording import (
    affordable,
    completions_each,
    expected_cost,
    with_verification,
)
from langchain_qstar.settings import RStarSettings
from langchain_qstar.tree import StatRecord
from langchain_qstar.verification.candidates import Candidate

SPENT = {"completions": 10, "completion_tokens": 200, "seconds": 5.0}


def candidates(*answers):
    return [Candidate((f"0.{n}",), (str(n),), answer) for n, answer in enumerate(answers)]


def ids(found):
    return [each.id for each in found]


def test_the_cost_is_taken_from_the_completions_so_far():
    assert expected_cost(8, SPENT) == {"completions": 8, "completion_tokens": 160}
    assert expected_cost(8, {}) == {"completions": 8, "completion_tokens": 0}


def test_a_search_keeps_back_what_its_solutions_will_cost_to_verify(tree):
    nodes = tree(
        {"0.0": ("finish", "7", "7"), "0.1": ("finish", "8", "8"), "0.2": ("propose_step", "?")}
    )
    settings = RStarSettings()
    stats: dict[str, StatRecord] = {"0.1": {"completed": ["8"]}}
    kept = with_verification(nodes, stats, SPENT, settings)
    assert kept == SPENT | {"completions": 14, "completion_tokens": 280}
    for other in ("during", "never"):
        assert with_verification(nodes, stats, SPENT, settings.replace(verify=other)) == SPENT


def test_a_candidate_is_completed_at_every_mask():
    assert completions_each(RStarSettings()) == 4
    assert completions_each(RStarSettings(random_mask=(0.2, 0.8), completions_per_mask=3)) == 3


def test_without_a_budget_all_are_verified():
    found = candidates("7", "8")
    assert affordable(found, 4, SPENT, {"max_tokens": None}) == found
    assert affordable([], 4, SPENT, {"max_tokens": 1}) == []


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({"max_tokens": 1000}, ["0.0", "0.1", "0.2"]),
        ({"max_tokens": 370}, ["0.0", "0.2"]),  # 80 tokens each, and 170 are left
        ({"max_tokens": 200}, []),
        ({"max_tokens": 100}, []),
        ({"max_completions": 15}, ["0.0"]),
        ({"max_seconds": 5.0}, []),
        ({"max_seconds": 5.5}, ["0.0", "0.1", "0.2"]),
    ],
)
def test_every_answer_gets_its_first_before_any_gets_its_second(budget, expected):
    assert ids(affordable(candidates("7", "7", "8"), 4, SPENT, budget)) == expected
