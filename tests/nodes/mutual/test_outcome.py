from __future__ import annotations

import inspect

import pytest

from langchain_qstar.nodes.mutual.outcome import Outcome, is_decided, outcome
from langchain_qstar.settings import RStarSettings
from langchain_qstar.tree import StatRecord

SEVEN, EIGHT, NINE = ("The answer is 7.", "The answer is 8.", "The answer is 9.")
THREE = {
    "0.0": ("finish", EIGHT, "8"),
    "0.1": ("finish", SEVEN, "7"),
    "0.2": ("finish", "So. " + SEVEN, "7.0"),
    "0.3": ("finish", NINE, "9"),
}


def completed(*matches, of=4):
    return {
        node_id: {"completed": [THREE[node_id][2]] * number + [None] * (of - number)}
        for node_id, number in zip(THREE, matches, strict=True)
    }


def test_statement_55_no_survivor_leaves_it_to_the_majority(tree, task):
    found = outcome(tree(THREE), completed(1, 1, 0, 1), [], task, RStarSettings())
    assert (found.chosen, found.agreed) == ("0.1", False)


FAILED: StatRecord = {"checks": [{"name": "sums", "verdict": "failed"}]}
PASSED: StatRecord = {"checks": [{"name": "mine", "verdict": "passed"}]}


def test_among_equals_the_answer_that_no_check_failed_wins(tree, task):
    settings = RStarSettings(verify="never")
    nodes = tree({"0.0": THREE["0.0"], "0.1": THREE["0.1"]})
    assert outcome(nodes, {}, [], task, settings).chosen == "0.0"
    found = outcome(nodes, {"0.0": FAILED}, [], task, settings)
    assert (found.chosen, [each.answer for each in found.votes]) == ("0.1", ["7", "8"])


@pytest.mark.parametrize(("abstain", "chosen"), [(False, "0.1"), ("failed", "0.0"), (True, "0.3")])
def test_who_abstains_chooses_among_what_it_would_not_withhold(tree, task, abstain, chosen):
    settings = RStarSettings(verify="never", abstain=abstain)
    stats = {"0.1": FAILED, "0.2": FAILED, "0.3": PASSED}
    found = outcome(tree(THREE), stats, [], task, settings)
    assert found.chosen == chosen
    assert [each.answer for each in found.votes] == ["7", "8", "9"]


def test_what_is_withheld_is_shown_where_there_is_nothing_else(tree, task):
    settings = RStarSettings(verify="never", abstain=True)
    assert outcome(tree(THREE), {}, [], task, settings).chosen == "0.1"


def test_what_would_be_withheld_decides_nothing(tree, task):
    settings = RStarSettings(verify="during", selection="majority", abstain=True)
    nodes, stats = tree(THREE), completed(0, 4, 4, 0)
    ended = ["0.1"] * 9
    assert not is_decided(nodes, stats, ended, task, settings, left=1)
    stats["0.1"] |= PASSED
    assert is_decided(nodes, stats, ended, task, settings, left=1)


def test_statement_55_one_survivor_wins_in_the_official_profile(tree, task):
    official = RStarSettings.profile("official")
    found = outcome(tree(THREE), completed(0, 1, 1, 3), ["0.1", "0.1"], task, official)
    assert (found.chosen, found.agreed) == ("0.3", True)


def test_statement_56_the_official_profile_prefers_survival_to_support(tree, task):
    nodes = tree(
        {
            "0.0": ("finish", "a " + SEVEN, "7"),
            "0.1": ("finish", "b " + SEVEN, "7"),
            "0.2": ("finish", EIGHT, "8"),
            "0.3": ("finish", NINE, "9"),
        }
    )
    stats: dict[str, StatRecord] = {
        "0.0": {"completed": [None] * 4},
        "0.1": {"completed": ["7"] * 4},
        "0.2": {"completed": ["8"] * 4},
        "0.3": {"completed": [None] * 4},
    }
    ended = ["0.0"] * 5 + ["0.1"] * 3 + ["0.2"]  # weights 6 + 4, 2 and 1
    found = outcome(nodes, stats, ended, task, RStarSettings.profile("official"))
    assert found.chosen == "0.2"
    assert [(each.answer, each.count) for each in found.votes] == [("8", 2), ("7", 10), ("9", 1)]
    assert [each.weight for each in found.votes] == pytest.approx(
        [1.333 / 2.4, 1.067 / 2.4, 0], abs=1e-3
    )


def test_statement_57_the_paper_profile_takes_reward_times_confidence(tree, task):
    nodes = tree({"0.0": ("finish", SEVEN, "7"), "0.1": ("finish", EIGHT, "8")})
    nodes["0.0"]["confidence"], nodes["0.1"]["confidence"] = 0.5, 0.9
    stats: dict[str, StatRecord] = {
        "0.0": {"value": 0.9, "visits": 1, "completed": ["7"]},
        "0.1": {"value": 0.6, "visits": 1, "completed": ["8"]},
    }
    paper = RStarSettings.profile("paper")
    assert outcome(nodes, stats, ["0.0", "0.1"], task, paper).chosen == "0.1"


def test_statement_58_nothing_that_chooses_can_be_given_a_gold_answer():
    for function in (outcome, is_decided):
        assert not [name for name in inspect.signature(function).parameters if "gold" in name]


def test_without_a_verification_the_votes_choose(tree, task):
    for settings in (RStarSettings(verify="never", selection="share_survival"), RStarSettings()):
        found = outcome(tree(THREE), {}, ["0.3"], task, settings)
        assert (found.chosen, found.agreed) == ("0.1", None)
        assert sum(each.weight for each in found.votes) == pytest.approx(1)


def test_without_an_answer_there_is_no_outcome(tree, task):
    assert outcome(tree({"0.0": ("finish", "?")}), {}, ["0.0"], task, RStarSettings()) == Outcome()


def test_a_failed_candidate_cannot_win_where_it_is_pruned(tree, task):
    failed: StatRecord = {"checks": [{"name": "arithmetic", "verdict": "failed", "reason": ""}]}
    nodes = tree(THREE)
    stats = {"0.1": failed, "0.2": failed}
    assert outcome(nodes, stats, [], task, RStarSettings()).chosen == "0.1"
    pruned = outcome(nodes, stats, [], task, RStarSettings(failed_check="prune"))
    assert pruned.chosen == "0.0"
    assert {each.answer for each in pruned.votes} == {"8", "9"}


def test_the_verifier_agrees_with_the_answer_not_with_a_lucky_candidate(tree, task):
    lucky = outcome(tree(THREE), completed(0, 0, 3, 0), [], task, RStarSettings())
    assert (lucky.chosen, lucky.agreed) == ("0.2", False)
    sure = outcome(tree(THREE), completed(0, 1, 3, 0), [], task, RStarSettings())
    assert (sure.chosen, sure.agreed) == ("0.2", True)


def decided(nodes, stats, ended, task, left, **settings):
    chosen = RStarSettings(verify="during", **settings)
    return is_decided(nodes, stats, ended, task, chosen, left=left)


def test_the_search_is_decided_when_the_rest_weighs_too_little(tree, task):
    nodes, stats = tree(THREE), completed(0, 4, 4, 0)
    ended = ["0.1"] * 8  # weights 1, 10 and 1: 12 in 8 rollouts, 1.5 each
    assert decided(nodes, stats, ended, task, 5, selection="survivor_vote")
    assert not decided(nodes, stats, ended, task, 7, selection="survivor_vote")


def test_a_candidate_that_is_not_verified_leaves_it_open(tree, task):
    stats = completed(0, 4, 4, 0)
    del stats["0.3"]
    assert not decided(tree(THREE), stats, ["0.1"] * 8, task, 0)


def test_nothing_is_decided_before_a_rollout_ended(tree, task):
    assert not decided(tree(THREE), completed(0, 4, 4, 0), [], task, 4)
