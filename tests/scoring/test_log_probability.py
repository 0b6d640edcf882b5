from __future__ import annotations

import math

import pytest

from langchain_qstar.protocols import ScoreRequest, State, Step, StepScorer
from langchain_qstar.scoring import LogProbabilityScorer


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
