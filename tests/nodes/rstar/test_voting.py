"""Statements 41 and 43, and votes that end when they are decided."""

from __future__ import annotations

from operator import eq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.nodes.rstar.voting import SHARES, SHARES_BESIDE, SHARES_LAST, Tally

answers = st.lists(st.sampled_from(["7", "8", "9", None]), min_size=1, max_size=32)
shares = st.sampled_from([SHARES, SHARES_BESIDE, SHARES_LAST, (1.0,)])


def counted(*given: str | None, wanted: int = 0) -> Tally:
    tally = Tally(wanted or len(given))
    tally.add(given, eq)
    return tally


def test_41_20_of_32_samples_that_agree_are_a_confidence_of_0_625():
    tally = counted("9", *["7"] * 20, *["8"] * 11)
    assert (tally.winner, tally.confidence) == ("7", 0.625)
    assert tally.first == 1


def test_43_samples_without_an_answer_cannot_win_and_stay_in_the_denominator():
    tally = counted(None, None, None, "7", "7")
    assert (tally.winner, tally.confidence, tally.first) == ("7", 0.4, 3)


def test_without_any_answer_there_is_no_winner_and_no_confidence():
    tally = counted(None, None)
    assert (tally.winner, tally.confidence, tally.first) == (None, 0.0, 0)


def test_a_tie_goes_to_the_answer_that_came_first():
    assert counted("8", "7", "7", "8").winner == "8"


def test_equivalent_answers_are_one_and_the_first_wording_stands_for_it():
    tally = Tally(3)
    tally.add(["7.0", "8", "7"], lambda a, b: float(a) == float(b))
    assert tally.counts == {"7.0": 2, "8": 1}


@pytest.mark.parametrize(
    ("given", "wanted", "decided"),
    [
        (["7"] * 5, 10, True),  # five others can only tie, and 7 came first
        (["7"] * 4, 10, False),
        (["8", *["7"] * 5], 10, False),  # 8 could have five too, and came first
        (["8", *["7"] * 6], 10, True),
        (["7"] * 6 + ["8"] * 4, 10, True),
        ([None] * 9, 10, False),
        ([None] * 10, 10, True),
    ],
)
def test_a_vote_is_decided_when_what_is_left_cannot_change_it(
    given: list[str | None], wanted: int, *, decided: bool
):
    assert counted(*given, wanted=wanted).is_decided is decided


@given(answers, st.integers(1, 32))
def test_a_decided_vote_has_the_winner_that_it_would_have_had_in_the_end(
    every: list[str | None], drawn: int
):
    early = counted(*every[:drawn], wanted=len(every))
    if early.is_decided:
        assert early.winner == counted(*every).winner
        assert early.first == counted(*every).first


@given(answers, shares)
def test_rounds_end_and_draw_no_more_than_was_wanted(
    every: list[str | None], rounds: tuple[float, ...]
):
    tally = Tally(len(every))
    count = 0
    while due := tally.due(rounds):
        tally.add(every[tally.drawn : tally.drawn + due], eq)
        count += 1
    assert count <= len(rounds)
    assert tally.drawn <= len(every)
    assert tally.is_decided
    assert 0 <= tally.confidence <= 1


def test_the_rounds_of_32_and_of_10_votes():
    assert [Tally(32).due(each) for each in (SHARES, SHARES_BESIDE, SHARES_LAST)] == [23, 20, 26]
    assert [Tally(10).due(each) for each in (SHARES, SHARES_BESIDE, SHARES_LAST)] == [7, 6, 8]
    assert counted(*"7788", wanted=10).due(SHARES) == 3
