from __future__ import annotations

import threading

import pytest

from langchain_qstar.errors import ModelError
from langchain_qstar.protocols import ScoreRequest, State, Step, StepScorer
from langchain_qstar.scoring import CallableScorer

REQUEST = ScoreRequest(State("q"), (Step("a\n"), Step("bb\n")))


def by_length(state, steps):
    return [len(step) / 10 for step in steps]


def test_a_plain_function_is_a_scorer():
    scorer = CallableScorer(by_length)
    assert isinstance(scorer, StepScorer)
    assert scorer.name == "by_length"
    assert scorer.score([REQUEST])[0].values == (0.2, 0.3)


async def test_async_scoring_runs_in_a_thread():
    threads = []

    def remember(state, steps):
        threads.append(threading.current_thread())
        return [0, 1]

    assert (await CallableScorer(remember).ascore([REQUEST]))[0].values == (0.0, 1.0)
    assert threads != [threading.main_thread()]


async def coroutine(state, steps):
    return [0.5, 0.5]


def failing(state, steps):
    raise KeyError("lost")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda state, steps: [0.5], "returned 1 values for 2 steps"),
        (lambda state, steps: [0.5, 1.5], r"returned 1\.5; values must lie in \[0, 1\]"),
        (lambda state, steps: [-0.1, 0.5], "must lie in"),
        (lambda state, steps: [float("nan"), 0.5], "returned nan"),
        (lambda state, steps: ["high", "low"], "must return a list of numbers"),
        (lambda state, steps: [10**400, 0.5], "must return a list of numbers"),
        (lambda state, steps: None, "must return a list of numbers, got None"),
        (coroutine, "is async"),
        (failing, "failed: 'lost'"),
    ],
)
def test_what_is_not_a_value_per_step_is_an_error_that_says_so(function, says):
    with pytest.raises(ModelError, match=says):
        CallableScorer(function, "mine").score([REQUEST])
