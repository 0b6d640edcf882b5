"""Each equation against numbers worked out by hand, and against what it reduces to."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.values import Aggregator, biased, heuristic, path_cost, priority, utility

REWARDS = [0.5, -0.5, 0.25]
finite = st.floats(-10, 10)


@pytest.mark.parametrize(
    ("aggregator", "g"),
    [("min", -0.5), ("max", 0.5), ("sum", 0.25), ("last", 0.25), ("constant", 0.0)],
)
def test_g_aggregates_the_rewards_of_the_path(aggregator: Aggregator, g: float):
    assert path_cost(aggregator, REWARDS) == g


@pytest.mark.parametrize("aggregator", get_args(Aggregator))
def test_g_of_the_root_is_0(aggregator: Aggregator):
    assert path_cost(aggregator, []) == 0.0


@given(st.lists(finite, min_size=1), finite)
def test_min_never_grows_and_max_never_falls_along_a_path(rewards: list[float], reward: float):
    assert path_cost("min", [*rewards, reward]) <= path_cost("min", rewards)
    assert path_cost("max", [*rewards, reward]) >= path_cost("max", rewards)


@given(finite)
def test_of_one_step_every_aggregator_but_constant_is_its_reward(reward: float):
    assert {path_cost(each, [reward]) for each in ("min", "max", "sum", "last")} == {reward}


def test_h_is_the_best_candidate_and_0_without_any():
    assert heuristic([0.2, 0.9, 0.4]) == 0.9
    assert heuristic([]) == 0.0


def test_f_is_g_plus_lambda_h():
    assert utility(0.6, 0.9, 1.0) == pytest.approx(1.5)
    assert utility(0.6, 0.9, 0.5) == pytest.approx(1.05)


@given(finite, finite)
def test_lambda_0_makes_f_greedy_on_g(g: float, h: float):
    assert utility(g, h, 0.0) == g


def test_pops_prefer_higher_f_then_deeper_then_earlier():
    states = {"high": (0.9, 1, 5), "deep": (0.5, 3, 9), "early": (0.5, 1, 2), "late": (0.5, 1, 3)}
    assert sorted(states, key=lambda each: priority(*states[each])) == [
        "high",
        "deep",
        "early",
        "late",
    ]


def test_a_bias_of_0_leaves_the_order_of_the_paper():
    assert biased(0.7, 5, 0.0) == 0.7
    assert biased(0.7, 5, 0.01) == pytest.approx(0.75)
