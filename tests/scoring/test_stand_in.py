"""Who scores where there are no log-probabilities, and that it is said."""

from __future__ import annotations

import warnings

import pytest

from langchain_qstar.errors import UnguidedWarning
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.protocols import ScoreRequest, State, Step
from langchain_qstar.scoring import PathLogProbabilityScorer
from langchain_qstar.scoring.stand_in import StandInScorer

STATE = State("What is 2 + 3?")
BARE = ScoreRequest(STATE, (Step("2+3=5\n"), Step("2+3=5.\n"), Step("2+3=6\n")))
SURE = ScoreRequest(STATE, (Step("2+3=5\n", logprobs=(0.0,)), Step("2+3=6\n", logprobs=(-1.0,))))
SAID = r"scripted gives none; steps are ranked by the agreement of samples.*q_model"


class Silent(ScriptedPolicy):
    """A policy that does not say what its completions carry."""

    gives_logprobs = None  # type: ignore[assignment]


def test_a_policy_that_gives_none_is_told_before_anything_is_spent():
    with pytest.warns(UnguidedWarning, match=SAID):
        scorer = StandInScorer(PathLogProbabilityScorer(), ScriptedPolicy({}))
    assert scorer.name == "agreement"
    (scores,) = scorer.score([BARE])
    assert scores.values == pytest.approx((2 / 3, 2 / 3, 1 / 3))
    assert scores.stood_in


def test_a_policy_that_gives_them_is_asked_for_nothing_else():
    scorer = StandInScorer(PathLogProbabilityScorer(), ScriptedPolicy({}, logprob=-0.1))
    assert scorer.name == "path-log-probability"
    assert [(each.values, each.stood_in) for each in scorer.score([SURE, BARE])] == [
        (pytest.approx((1.0, 0.3678794)), False),
        ((0.0, 0.0, 0.0), False),
    ]


async def test_of_another_the_first_completions_tell_and_it_is_told_once():
    scorer = StandInScorer(PathLogProbabilityScorer(), Silent({}))
    assert scorer.name == "path-log-probability, else agreement"
    assert not scorer.score([SURE])[0].stood_in
    with pytest.warns(UnguidedWarning, match=SAID):
        (scores,) = scorer.score([BARE])
    assert scores.stood_in
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert await scorer.ascore([BARE]) == [scores]


def test_a_batch_with_some_log_probabilities_has_them():
    scorer = StandInScorer(PathLogProbabilityScorer(), Silent({}))
    written = ScoreRequest(STATE.then(SURE.steps[1]), (Step("as a person wrote it\n"),))
    (scores,) = scorer.score([written])
    assert scores.values == pytest.approx((0.3678794,))
    assert not scores.stood_in
