"""Each equation against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.training.labels import (
    bellman_target,
    best_return,
    completion_label,
    discounted_return,
    first_error,
    fitted_q_targets,
    hard_estimate,
    mean_return,
    omega_bonus,
    omega_value,
    rollout_label,
    select_rollout,
    soft_estimate,
)

CHAIN = {0: [1], 1: [2]}


def test_a_return_counts_the_first_reward_after_the_step_once_discounted():
    assert discounted_return([0.0, 0.0, 1.0], 0.9) == pytest.approx(0.729)
    assert discounted_return([]) == 0.0


def test_one_right_rollout_of_ten_makes_the_label_1_and_none_makes_it_0():  # statement 22
    assert best_return([0.0] * 9 + [1.0]) == 1.0
    assert best_return([0.0] * 10) == 0.0
    assert rollout_label(0.0, [[0.0, 0.0], [0.0, 1.0]]) == 1.0
    assert rollout_label(0.0, [[0.0, 0.0], [0.0]]) == 0.0


def test_the_rollout_label_discounts_and_takes_the_best_of_the_pool():
    # 0.9 for a reward one step away, 0.81 for two steps; the nearer one is better.
    assert rollout_label(0.0, [[0.0, 1.0], [1.0]], 0.9) == pytest.approx(0.9)
    assert rollout_label(1.0, []) == 1.0


def test_the_mean_return_is_the_share_of_right_rollouts():
    assert mean_return([1.0, 0.0, 0.0, 1.0]) == 0.5


def test_the_completion_label_is_the_outcome_of_the_one_completion():  # statement 23
    assert completion_label(0.0, [0.0, 0.0, 1.0]) == 1.0
    assert completion_label(0.0, [0.0, 0.0, 0.0]) == 0.0
    assert completion_label(0.0, [0.0, 1.0], 0.5) == 0.25


def test_a_bellman_target_adds_the_best_discounted_value_that_follows():
    assert bellman_target(0.0, [0.2, 0.8, 0.5], 0.5) == 0.4
    assert bellman_target(1.0, []) == 1.0


def test_fitted_q_iteration_carries_a_reward_one_step_back_an_iteration():  # statement 21
    values = [0.0, 0.0, 0.0]
    history = []
    for _ in range(3):
        values = fitted_q_targets([0.0, 0.0, 1.0], CHAIN, values, gamma=0.9)
        history.append(values)
    assert history[0] == [0.0, 0.0, 1.0]
    assert history[1] == pytest.approx([0.0, 0.9, 1.0])
    assert history[2] == pytest.approx([0.81, 0.9, 1.0])


def test_hard_estimation_asks_for_any_and_soft_estimation_for_the_share():
    assert (hard_estimate(1, 8), hard_estimate(0, 8)) == (1.0, 0.0)
    assert soft_estimate(2, 8) == 0.25


@pytest.mark.parametrize(("right", "completions"), [(0, 0), (3, 2), (-1, 4)])
def test_impossible_counts_are_no_estimate(right, completions):
    with pytest.raises(ValueError, match="no estimate"):
        hard_estimate(right, completions)
    with pytest.raises(ValueError, match="no estimate"):
        soft_estimate(right, completions)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_the_binary_search_finds_the_first_wrong_step_with_few_questions(case):
    steps, wrong = case
    asked = []

    def driven():
        search = first_error(steps)
        kept = next(search)
        while True:
            asked.append(kept)
            kept = search.send(kept < wrong)

    with pytest.raises(StopIteration) as end:
        driven()
    assert end.value.value == wrong
    assert len(asked) <= math.ceil(math.log2(steps)) if steps > 1 else not asked
    assert 0 not in asked
    assert steps not in asked


def test_omegas_value_is_the_product_of_both_powers():
    # 0.5^(1 - 0.75) * 0.9^(250 / 500) = 0.840896... * 0.948683...
    assert omega_value(0.75, 250) == pytest.approx(0.84089642 * 0.94868330)
    assert omega_value(1.0, 0) == 1.0


def test_omegas_bonus_falls_with_the_visits_of_the_state():
    assert omega_bonus(0, 16) == 0.5
    assert omega_bonus(3, 16) == 0.125


def test_the_pair_of_greatest_value_and_bonus_is_chosen():
    # Unvisited: MC 0.5 (0.707) before MC 0.25 (0.595). After many visits the bonus turns it round.
    assert select_rollout([(0.25, 0, 0), (0.5, 0, 0)]) == 1
    assert select_rollout([(0.25, 0, 0), (0.5, 0, 100)]) == 0
    assert select_rollout([(0.5, 0, 0), (0.5, 0, 0)]) == 0
