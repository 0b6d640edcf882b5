from __future__ import annotations

import pytest

from langchain_qstar.nodes.mutual.affording import affordable, expected_cost
from langchain_qstar.verification.candidates import Candidate

SPENT = {"completions": 10, "completion_tokens": 200, "seconds": 5.0}


def candidates(*answers):
    return [Candidate((f"0.{n}",), (str(n),), answer) for n, answer in enumerate(answers)]


def ids(found):
    return [each.id for each in found]


def test_the_cost_is_taken_from_the_completions_so_far():
    found = candidates("7", "8")
    assert expected_cost(found, 4, SPENT) == {"completions": 8, "completion_tokens": 160}
    assert expected_cost(found, 4, {}) == {"completions": 8, "completion_tokens": 0}


def test_what_was_verified_costs_nothing_more():
    verified = Candidate(("0.0",), ("x",), "7", completed=("7",))
    assert expected_cost([verified], 4, SPENT)["completions"] == 0


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
