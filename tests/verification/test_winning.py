from __future__ import annotations

from math import inf
from operator import eq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.verification.candidates import Candidate, answers_of
from langchain_qstar.verification.winning import (
    agreed,
    scores,
    share_survival,
    shrinkage,
    shrunk_survival,
    unanimous,
    winner,
)

RULES = (
    "reward_confidence",
    "share_survival",
    "survivor_vote",
    "shrunk_survival",
    "self_verification",
    "majority",
)
FILTERS = ("reward_confidence", "share_survival", "survivor_vote")


def answers(found, rule="mid"):
    return answers_of(found, rule, eq)


def won(rule, found):
    grouped = answers(found)
    return winner(grouped, scores(rule, grouped), rule)[1].candidate


def test_statement_54_unanimous_candidates_need_no_verifier(candidate):
    assert unanimous(answers([candidate("7"), candidate("7")]))
    assert not unanimous(answers([candidate("7"), candidate("8")]))
    assert not unanimous([])


@pytest.mark.parametrize("rule", RULES)
def test_statement_55_no_survivor_leaves_it_to_the_majority(rule, candidate):
    found = [candidate("8", agreeing=0), candidate("7", 2, agreeing=0)]
    assert won(rule, found) is found[1]


@pytest.mark.parametrize("rule", FILTERS)
def test_statement_55_one_survivor_wins_whatever_its_support(rule, candidate):
    found = [candidate("7", 9, agreeing=1), candidate("8", 1, agreeing=2)]
    assert won(rule, found) is found[1]


def test_statement_56_survival_can_beat_support(candidate):
    found = [
        candidate("A", 6, agreeing=0),
        candidate("A", 4, agreeing=2),
        candidate("B", 2, agreeing=2),
        candidate("C", 1, agreeing=0),
    ]
    assert share_survival(answers(found)) == pytest.approx([1.067, 1.333, 0], abs=5e-4)
    assert won("share_survival", found).answer == "B"


def test_statement_57_the_paper_takes_reward_times_confidence(candidate):
    found = [
        candidate("A", agreeing=4, reward=0.9, confidence=0.5),
        candidate("B", agreeing=4, reward=0.6, confidence=0.9),
        candidate("C", agreeing=0, reward=1.0, confidence=1.0),
    ]
    assert won("reward_confidence", found).answer == "B"


def test_reward_times_confidence_chooses_a_trajectory_not_an_answer(candidate):
    found = [
        candidate("A", agreeing=4, reward=0.1, confidence=0.5),
        candidate("A", agreeing=4, reward=0.9, confidence=0.5),
        candidate("B", agreeing=4, reward=0.4, confidence=0.9),
    ]
    assert won("reward_confidence", found) is found[1]


def test_survivors_without_a_reward_are_voted_for(candidate):
    found = [candidate("A", 9, agreeing=0, reward=9.0, confidence=1.0), candidate("B", agreeing=4)]
    assert won("reward_confidence", found).answer == "B"


def test_the_vote_among_survivors_leaves_the_others_out(candidate):
    found = [
        candidate("A", 9, agreeing=1),
        candidate("B", 2, agreeing=2),
        candidate("C", 3, agreeing=3),
    ]
    assert won("survivor_vote", found).answer == "C"


def test_the_majority_reads_no_completion(candidate):
    found = [candidate("A", 3, agreeing=0), candidate("B", 2, agreeing=4)]
    assert won("majority", found).answer == "A"


def test_self_verification_believes_the_judge(candidate):
    found = [candidate("A", 9, belief=0.2), candidate("B", belief=0.4), candidate("B", belief=0.7)]
    assert won("self_verification", found) is found[2]


def test_a_survivor_stands_for_its_answer(candidate):
    found = [candidate("A", agreeing=0), candidate("A", agreeing=3), candidate("A", agreeing=4)]
    assert won("majority", found) is found[1]


def test_the_first_found_wins_a_tie(candidate):
    found = [candidate("B", 2, agreeing=2), candidate("A", 2, agreeing=2)]
    for rule in ("majority", "survivor_vote", "share_survival", "shrunk_survival"):
        assert won(rule, found).answer == "B"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("agreeing", [None, 0, 4])
def test_among_equals_the_answer_that_no_check_failed_wins(rule, agreeing, candidate):
    more = {"reward": 0.5, "confidence": 0.5, "belief": 0.5}
    found = [
        candidate("7", agreeing=agreeing, refuted=True, **more),
        candidate("8", agreeing=agreeing, **more),
    ]
    assert won(rule, found).answer == "8"
    assert won(rule, found[::-1]).answer == "8"


@pytest.mark.parametrize("rule", RULES)
def test_a_failed_check_takes_no_vote(rule, candidate):
    found = [candidate("8"), candidate("7", 2, refuted=True, belief=0.5)]
    assert won(rule, found).answer == "7"


def test_of_candidates_with_the_answer_one_that_no_check_failed_stands_for_it(candidate):
    found = [candidate("7", refuted=True), candidate("7"), candidate("7")]
    assert won("majority", found) is found[1]
    assert not answers(found)[0].refuted
    assert answers(found[:1])[0].refuted


def test_the_shrinkage_is_learnt_from_how_alike_completions_are(candidate):
    # Two answers of 20 completions each, 16 and 4 agreeing. Between: 2 * 20 * 0.3**2 / 1 = 3.6;
    # within: (16 * 4 / 20 + 4 * 16 / 20) / 38 = 0.168; r = 3.432 / (3.6 + 19 * 0.168) = 0.505.
    apart = answers([candidate("A", agreeing=16, of=20), candidate("B", agreeing=4, of=20)])
    assert shrinkage(apart) == 8.0  # (1 - 0.505) / 0.505 = 0.98, below the least
    near = answers([candidate("A", agreeing=130, of=200), candidate("B", agreeing=100, of=200)])
    # Between 2.25, within 0.2399, r = 2.0101 / (2.25 + 199 * 0.2399) = 0.04021.
    assert shrinkage(near) == pytest.approx(23.87, abs=0.05)


def test_rates_that_chance_explains_are_shrunk_away(candidate):
    alike = answers([candidate("A", 3, agreeing=2), candidate("B", 2, agreeing=2)])
    assert shrinkage(alike) == inf
    assert shrunk_survival(alike) == pytest.approx([3, 2])


def test_shrunk_survival_is_votes_times_the_odds_of_agreement(candidate):
    # Of 40 completions 20 agree; k = 8: rates (16 + 4) / 28 = 5/7 and (4 + 4) / 28 = 2/7.
    apart = answers([candidate("A", 2, agreeing=16, of=20), candidate("B", 9, agreeing=4, of=20)])
    assert shrunk_survival(apart) == pytest.approx([2 * 2.5, 9 * 0.4])


def test_one_lucky_candidate_does_not_outweigh_many_votes(candidate):
    found = [candidate("A", 3, agreeing=1) for _ in range(8)] + [candidate("B", 1, agreeing=4)]
    assert won("share_survival", found).answer == "B"
    assert won("shrunk_survival", found).answer == "A"


@pytest.mark.parametrize("agreeing", [0, 4])
def test_a_verifier_that_says_the_same_of_all_leaves_it_to_the_votes(agreeing, candidate):
    found = [candidate("A", 1, agreeing=agreeing), candidate("B", 2, agreeing=agreeing)]
    assert shrunk_survival(answers(found)) == [1, 2]


@pytest.mark.parametrize("rule", RULES)
def test_candidates_that_were_never_verified_are_voted_for(rule, candidate):
    found = [candidate("A", 1), candidate("B", 2)]
    assert won(rule, found).answer == "B"


def test_the_verifier_agrees_when_most_completions_of_the_answer_do(candidate):
    lucky = answers(
        [candidate("A", agreeing=0), candidate("A", agreeing=1), candidate("A", agreeing=2)]
    )
    chosen = winner(lucky, scores("majority", lucky), "majority")
    assert chosen[1].survived
    assert not agreed(*chosen)
    strictly = answers([candidate("A", agreeing=3)], "strict")
    assert not agreed(*winner(strictly, scores("majority", strictly), "majority"))
    sure = answers([candidate("A", agreeing=1), candidate("A", agreeing=3)])
    assert agreed(*winner(sure, scores("majority", sure), "majority"))


VERIFIED = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=10
)


def made(found):
    return [
        Candidate((f"0.{n}",), (f"{n}",), a, w, w / 2, 0.5, (a,) * m + (None,) * (4 - m), m / 4)
        for n, (a, w, m) in enumerate(found)
    ]


@pytest.mark.parametrize("rule", RULES)
@given(found=VERIFIED.flatmap(lambda each: st.tuples(st.just(each), st.permutations(each))))
def test_the_order_of_candidates_changes_no_score(rule, found):
    one, other = (
        {each.text: score for each, score in zip(grouped, scores(rule, grouped), strict=True)}
        for grouped in (answers(made(each)) for each in found)
    )
    assert one == pytest.approx(other)


@pytest.mark.parametrize("rule", RULES)
@given(found=VERIFIED)
def test_the_winner_is_a_candidate_and_no_score_is_below_0(rule, found):
    grouped = answers(made(found))
    assert all(0 <= score < inf for score in scores(rule, grouped))
    assert won(rule, made(found)).answer in {answer for answer, *_ in found}


@given(VERIFIED, st.data())
def test_completions_that_agree_never_cost_an_answer_votes_among_survivors(found, data):
    number = data.draw(st.integers(0, len(found) - 1))
    answer, weight, agreeing = found[number]
    better = [*found]
    better[number] = (answer, weight, min(agreeing + 1, 4))
    for rule in ("survivor_vote", "share_survival"):
        before, after = (
            dict(zip([each.text for each in grouped], rule_scores, strict=True))[answer]
            for grouped in (answers(made(each)) for each in (found, better))
            if (rule_scores := scores(rule, grouped))
        )
        if any(each > 1 for *_, each in found):  # else no survivor: the majority decides
            assert after >= before - 1e-9
