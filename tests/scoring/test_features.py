from __future__ import annotations

import pytest

from langchain_qstar.protocols import State, Step
from langchain_qstar.scoring import NUMERIC_FEATURES, step_features


def named(state, step):
    return dict(zip(NUMERIC_FEATURES, step_features(state, step), strict=True))


def test_they_summarise_the_step_and_the_path():
    state = State("q", steps=(Step("a\n", token_ids=(1, 2), logprobs=(-1.0, -3.0)),))
    step = Step("The answer is 4.\n", token_ids=(3, 4, 5), logprobs=(-0.5, -1.0, -1.5))
    assert named(state, step) == pytest.approx(
        {
            "step_mean_logprob": -1.0,
            "step_min_logprob": -1.5,
            "step_sum_logprob": -3.0,
            "path_mean_logprob": -7.0 / 5,
            "path_min_logprob": -3.0,
            "least_step_mean_logprob": -2.0,
            "steps": 2.0,
            "step_tokens": 3.0,
            "terminal": 1.0,
            "step_surprises": 0.0,
            "path_surprises": 1.0,
            "path_sum_logprob": -7.0,
            "path_tokens": 5.0,
        }
    )


def test_unknown_log_probabilities_are_zero():
    features = named(State("q", steps=(Step("a\n"),)), Step("b\n"))
    assert features.pop("steps") == 2.0
    assert set(features.values()) == {0.0}


def test_steps_without_log_probabilities_do_not_enter_the_path():
    state = State("q", steps=(Step("a\n"),))
    features = named(state, Step("b\n", token_ids=(1,), logprobs=(-2.0,)))
    assert features["path_mean_logprob"] == -2.0
    assert features["least_step_mean_logprob"] == -2.0
