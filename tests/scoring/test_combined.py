from __future__ import annotations

import pytest

from langchain_qstar import ScriptedScorer
from langchain_qstar.errors import SettingsError
from langchain_qstar.protocols import ScoreRequest, Scores, State, Step
from langchain_qstar.scoring.combined import MixtureScorer, RememberingScorer


class Costly(ScriptedScorer):
    """A token read for every step it is asked about."""

    def score(self, requests):
        scores = super().score(requests)
        return [Scores(each.values, 1, 2, len(each.values)) for each in scores]


FIRST, SECOND = State("a"), State("b")


def request(state, *texts):
    return ScoreRequest(state, tuple(Step(text) for text in texts))


async def test_a_mixture_is_the_weighted_mean_and_costs_the_sum():
    one, two = Costly({"x": 1.0, "y": 0.0}), Costly({"x": 0.5, "y": 0.5})
    mixture = MixtureScorer([(one, 3), (two, 1)])
    scores = mixture.score([request(FIRST, "x", "y")])
    assert scores == [Scores((0.875, 0.125), 2, 4, 4)]
    assert await mixture.ascore([request(FIRST, "x", "y")]) == scores
    assert mixture.name == "0.75 scripted + 0.25 scripted"


@pytest.mark.parametrize("weights", [(), (0.0, 0.0), (1.0, -1.0), (float("nan"), 1.0)])
def test_a_mixture_without_weight_is_refused(weights):
    with pytest.raises(SettingsError, match="a mixture needs"):
        MixtureScorer([(ScriptedScorer({}), weight) for weight in weights])


async def test_no_text_is_scored_twice():
    inner = Costly({"x": 0.3, "y": 0.6})
    scorer = RememberingScorer(inner)
    first = scorer.score([request(FIRST, "x", "y", "x"), request(SECOND, "x")])
    assert [each.values for each in first] == [(0.3, 0.6, 0.3), (0.3,)]
    assert [each.read_tokens for each in first] == [2, 1]
    again = await scorer.ascore([request(FIRST, "y", "z"), request(SECOND, "x")])
    assert [each.values for each in again] == [(0.6, 0.0), (0.3,)]
    assert [each.read_tokens for each in again] == [1, 0]
    asked = [step.text for call in inner.calls for each in call for step in each.steps]
    assert asked == ["x", "y", "x", "z"]


def test_one_state_asked_twice_in_a_batch_is_scored_once():
    inner = Costly({"x": 0.3})
    scores = RememberingScorer(inner).score([request(FIRST, "x"), request(FIRST, "x", "y")])
    assert [each.values for each in scores] == [(0.3,), (0.3, 0.0)]
    assert sum(each.read_tokens for each in scores) == 2


def test_what_was_not_used_for_long_is_forgotten():
    inner = Costly({})
    scorer = RememberingScorer(inner, capacity=2)
    for text in "xyxzx":
        scorer.score([request(FIRST, text)])
    assert [call[0].steps[0].text for call in inner.calls] == ["x", "y", "z"]
    scorer.score([request(FIRST, "y")])
    assert len(inner.calls) == 4
