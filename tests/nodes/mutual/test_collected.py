"""What a Q* search collected, as candidates."""

from __future__ import annotations

import pytest

from langchain_qstar.nodes.mutual.collected import collected_candidates, completed_outcome
from langchain_qstar.settings import QStarSettings
from langchain_qstar.tasks import NANO

TREE = {
    "0.0": ("propose_step", "Ann has 7.\n"),
    "0.0.0": ("propose_step", "The answer is 7.\n", "7"),
    "0.1": ("propose_step", "Ann has 12.\n"),
    "0.1.0": ("propose_step", "The answer is 12.\n", "12"),
    "0.2": ("finish", "Nobody knows.\n"),
}
FAILED = {"name": "mine", "verdict": "failed", "reason": ""}
COLLECTED = ["0.0.0", "0.1.0", "0.2"]


@pytest.fixture
def stats():
    return {"0.0.0": {"f": 0.3}, "0.1.0": {"f": 0.6, "reward": 0.1}, "0.2": {"f": 0.9}}


def test_trajectories_with_an_answer_are_candidates_the_best_first(tree, stats):
    best, other = collected_candidates(tree(TREE), stats, COLLECTED, NANO, QStarSettings())
    assert (best.id, best.answer, best.weight) == ("0.1.0", "12", 1)
    assert best.segments == ("Ann has 12.\n", "The answer is 12.\n")
    assert (best.reward, best.confidence) == (0.6, 1.0)
    assert (other.id, other.reward) == ("0.0.0", 0.3)


@pytest.mark.parametrize(("counted", "weights"), [(False, [1, 1]), (True, [3, 1])])
def test_a_candidate_weighs_as_often_as_it_was_drawn_where_repeats_count(
    tree, stats, counted, weights
):
    nodes = tree(TREE)
    nodes["0"]["run"]["settings"] = {"count_repeats": counted}
    nodes["0.1.0"]["samples"] = 3
    found = collected_candidates(nodes, stats, COLLECTED, NANO, QStarSettings())
    assert [each.weight for each in found] == weights


def test_f_below_zero_is_no_reward(tree, stats):
    stats["0.0.0"]["f"] = -2.0
    found = collected_candidates(tree(TREE), stats, COLLECTED, NANO, QStarSettings())
    assert [each.reward for each in found] == [0.6, 0.0]


@pytest.mark.parametrize(
    ("abstain", "ids"),
    [(False, ["0.1.0", "0.0.0"]), ("failed", ["0.0.0"]), (True, [])],
)
def test_what_a_search_would_withhold_is_no_candidate(tree, stats, abstain, ids):
    stats["0.1"] = {"checks": [FAILED]}
    settings = QStarSettings(abstain=abstain)
    found = collected_candidates(tree(TREE), stats, COLLECTED, NANO, settings)
    assert [each.id for each in found] == ids
    assert [each.refuted for each in found] == [each == "0.1.0" for each in ids]


def test_what_a_test_passed_may_answer_a_search_that_abstains(tree, stats):
    stats["0.0.0"]["checks"] = [{"name": "mine", "verdict": "passed"}]
    settings = QStarSettings(abstain=True)
    (found,) = collected_candidates(tree(TREE), stats, COLLECTED, NANO, settings)
    assert found.id == "0.0.0"


def test_without_any_completion_there_is_no_completed_outcome(tree, stats):
    settings = QStarSettings()
    assert completed_outcome(tree(TREE), stats, COLLECTED, NANO, settings) is None
    assert completed_outcome(tree(TREE), stats, [], NANO, settings) is None
    stats["0.0.0"]["completed"], stats["0.1.0"]["completed"] = ["7", "7"], ["7", None]
    found = completed_outcome(tree(TREE), stats, COLLECTED, NANO, settings)
    assert found is not None
    assert (found.chosen, found.agreed) == ("0.0.0", True)
