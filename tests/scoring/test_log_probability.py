from __future__ import annotations

import math

import pytest

from langchain_qstar.protocols import ScoreRequest, State, Step, StepScorer
from langchain_qstar.scoring import LogProbabilityScorer, PathLogProbabilityScorer


async def test_the_value_is_the_geometric_mean_of_token_probabilities():
    steps = (Step("a", logprobs=(math.log(0.5), math.log(0.125))), Step("b"))
    scorer = LogProbabilityScorer()
    request = ScoreRequest(State("q"), steps)
    (scores,) = scorer.score([request])
    assert isinstance(scorer, StepScorer)
    assert list(scores.values) == pytest.approx([0.25, 0.0])
    assert (scores.completions, scores.generated_tokens, scores.read_tokens) == (0, 0, 0)
    assert await scorer.ascore([request]) == [scores]


def test_rounding_never_lifts_a_value_above_one():
    request = ScoreRequest(State("q"), (Step("a", logprobs=(1e-9,)),))
    assert LogProbabilityScorer().score([request])[0].values == (1.0,)


async def test_the_value_of_a_path_is_the_mean_over_all_of_its_tokens():
    unsure = Step("a", logprobs=(math.log(0.25), math.log(0.25)))
    request = ScoreRequest(State("q").then(unsure), (Step("b", logprobs=(0.0, 0.0)), Step("c")))
    scorer = PathLogProbabilityScorer()
    (scores,) = scorer.score([request])
    assert isinstance(scorer, StepScorer)
    # A sure step does not make an unsure path sure, and one without any changes nothing.
    assert list(scores.values) == pytest.approx([0.5, 0.25])
    assert await scorer.ascore([request]) == [scores]


def test_a_path_without_log_probabilities_has_the_value_0():
    request = ScoreRequest(State("q").then(Step("a")), (Step("b"),))
    assert PathLogProbabilityScorer().score([request])[0].values == (0.0,)
