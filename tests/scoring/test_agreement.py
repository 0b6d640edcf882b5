"""The share of samples that come to the same result as a step."""

from __future__ import annotations

import pytest

from langchain_qstar.protocols import ScoreRequest, State, Step, StepScorer
from langchain_qstar.scoring import AgreementScorer

QUESTION = "Tom has 12 boxes of 4 pens and gives 8 pens away. How many pens are left?"
RIGHT, ALSO_RIGHT, WRONG = "12*4=48\n", "That is 48 pens.\n", "12+4=16\n"
COPY = "Tom has 12 boxes of 4 pens.\n"


def request(*texts, path=(), counts=(), before=None):
    state = State(QUESTION, steps=tuple(map(Step, path)))
    return ScoreRequest(state, tuple(map(Step, texts)), counts, before)


def values(*requests):
    return [pytest.approx(each.values) for each in AgreementScorer().score(requests)]


def test_steps_agree_that_come_to_the_same_number():
    assert values(request(RIGHT, ALSO_RIGHT, WRONG)) == [(2 / 3, 2 / 3, 1 / 3)]


def test_a_step_counts_as_often_as_it_was_sampled():
    assert values(request(RIGHT, WRONG, counts=(4, 2))) == [(4 / 6, 2 / 6)]


def test_copying_is_worth_no_more_than_being_alone_however_often_it_is_sampled():
    assert values(request(COPY, WRONG, RIGHT, counts=(5, 1, 2))) == [(1 / 8, 1 / 8, 2 / 8)]


def test_the_value_is_the_mean_over_the_path():
    later = request("48-8=40\n", "48+8=56\n", path=[RIGHT], counts=(3, 1), before=0.5)
    assert values(later) == [((0.5 + 0.75) / 2, (0.5 + 0.25) / 2)]


def test_where_no_step_finds_a_number_nothing_changes():
    assert values(request(COPY, "First, we count.\n")) == [(0.5, 0.5)]
    assert values(request(COPY, "Then we go on.\n", path=[RIGHT], before=0.8)) == [(0.8, 0.8)]


def test_whole_solutions_are_compared_at_the_places_where_they_found_the_same():
    ways = [request("48-8=40\n", path=[RIGHT]), request("48-8=40\n", path=[ALSO_RIGHT])]
    other = request("48+8=56\n", path=[RIGHT])
    elsewhere = request("16-8=8\n", path=[WRONG])
    assert values(*ways, other, elsewhere) == [(2 / 3,), (2 / 3,), (1 / 3,), (1.0,)]


async def test_it_is_a_scorer_that_costs_nothing_and_waits_for_nothing():
    scorer, asked = AgreementScorer(), [request(RIGHT, WRONG)]
    assert isinstance(scorer, StepScorer)
    (scores,) = scorer.score(asked)
    assert await scorer.ascore(asked) == [scores]
    assert (scores.completions, scores.generated_tokens, scores.read_tokens) == (0, 0, 0)
