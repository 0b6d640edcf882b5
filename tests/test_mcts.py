from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.mcts import exploration_weight, uct

# The tree T4 of the specification after 8 rollouts with c = 2: N(root) = 8.
T4 = {"a": (2.4, 4, 2.042), "b": (2.0, 4, 1.942), "a1": (0.6, 2, 1.965), "a2": (1.8, 2, 2.565)}


@pytest.mark.parametrize("name", T4)
def test_33_uct_is_the_mean_and_c_times_the_root_of_log_n_of_the_parent_over_n(name: str):
    value, visits, expected = T4[name]
    parent = 8 if len(name) == 1 else 4
    assert uct(value, visits, parent, 2.0) == pytest.approx(expected, abs=5e-4)


def test_uct_without_exploration_is_the_mean():
    assert uct(1.5, 3, 100, 0.0) == 0.5


def test_unobserved_rollouts_lower_the_second_term_and_leave_the_mean():
    assert uct(1.5, 3, 8, 2.0, unobserved=1) < uct(1.5, 3, 8, 2.0)
    assert uct(1.5, 3, 8, 0.0, unobserved=9) == 0.5
    assert uct(0.0, 0, 1, 2.0, unobserved=1) == 0.0


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("const", (2.0, 2.0, 2.0)),
        ("lin", (2.0, 1.1, 0.256)),
        ("exp", (2.0, 0.632, 0.215)),
    ],
)
def test_38_the_schedules_of_the_weight(schedule, expected: tuple[float, ...]):
    weights = [exploration_weight(schedule, 2.0, rollout, 32) for rollout in (0, 16, 31)]
    assert weights == pytest.approx(expected, abs=5e-4)


@given(
    st.sampled_from(["const", "lin", "exp"]),
    st.floats(0, 10),
    st.integers(1, 64).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))),
)
def test_a_weight_lies_between_a_tenth_of_c_and_c(schedule, c: float, place: tuple[int, int]):
    weight = exploration_weight(schedule, c, *place)
    assert 0.1 * c <= weight * (1 + 1e-9)
    assert weight <= c
