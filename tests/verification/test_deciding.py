from __future__ import annotations

from operator import eq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.verification.candidates import Candidate, answers_of
from langchain_qstar.verification.deciding import decided
from langchain_qstar.verification.winning import scores, winner


def answers(found):
    return answers_of(found, "mid", eq)


def test_a_majority_is_decided_when_the_rest_cannot_reach_it(candidate):
    found = answers([candidate("A", 7), candidate("B", 3)])
    assert decided("majority", found, 3)
    assert not decided("majority", found, 4)


def test_an_answer_not_yet_found_may_still_win(candidate):
    found = answers([candidate("A", 4, agreeing=4)])
    for rule in ("majority", "survivor_vote", "shrunk_survival", "share_survival"):
        assert decided(rule, found, 3)
        assert not decided(rule, found, 4)


def test_votes_that_did_not_survive_decide_nothing(candidate):
    found = answers(
        [
            candidate("A", 7, agreeing=0),
            candidate("A", 2, agreeing=4),
            candidate("B", 1, agreeing=4),
        ]
    )
    assert decided("survivor_vote", found, 0.5)
    assert not decided("survivor_vote", found, 1)


def test_a_rival_is_taken_to_agree_as_well_as_the_best(candidate):
    found = answers([candidate("A", 9, agreeing=10, of=40), candidate("B", 2, agreeing=30, of=40)])
    assert winner(found, scores("shrunk_survival", found), "shrunk_survival")[0].text == "B"
    assert decided("majority", found, 6)
    assert not decided("shrunk_survival", found, 1)


@pytest.mark.parametrize("rule", ["reward_confidence", "self_verification"])
def test_a_search_for_the_best_trajectory_is_open_to_its_end(rule, candidate):
    found = answers([candidate("A", 99, agreeing=4, reward=9.0, confidence=1.0, belief=1.0)])
    assert decided(rule, found, 0)
    assert not decided(rule, found, 1)


def test_nothing_is_decided_without_a_candidate_or_a_survivor(candidate):
    assert not decided("majority", [], 0)
    for rule in ("survivor_vote", "share_survival"):
        assert not decided(rule, answers([candidate("A", 9, agreeing=0)]), 1)


FOUND = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=6
)


def made(found):
    return [
        Candidate((f"0.{n}",), (f"{n}",), a, w, completed=(a,) * m + (None,) * (4 - m))
        for n, (a, w, m) in enumerate(found)
    ]


@pytest.mark.parametrize("rule", ["majority", "survivor_vote"])
@given(found=FOUND, later=FOUND, slack=st.integers(0, 3))
def test_what_is_decided_by_votes_stays_so_whatever_follows(rule, found, later, slack):
    remaining = sum(weight for _, weight, _ in later) + slack
    so_far = answers(made(found))
    if decided(rule, so_far, remaining):
        in_the_end = answers(made([*found, *later]))
        before, after = (
            winner(each, scores(rule, each), rule)[0].text for each in (so_far, in_the_end)
        )
        assert before == after
