from __future__ import annotations

from operator import eq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.verification.agreement import matches, survives

RULES = ("loose", "mid", "strict", "majority")
ANSWERS = st.lists(st.sampled_from(["7", "8", "9", None]), max_size=8)


def four(agreeing):
    return ["7"] * agreeing + ["8"] * (4 - agreeing)


@pytest.mark.parametrize(
    ("rule", "by_matches"),
    [
        ("mid", [False, False, True, True, True]),
        ("loose", [False, True, True, True, True]),
        ("strict", [False, False, False, False, True]),
        ("majority", [False, False, False, True, True]),
    ],
)
def test_statement_52_verified_with_0_to_4_matches_of_4(rule, by_matches):
    assert [survives(rule, "7", four(number), eq) for number in range(5)] == by_matches


def test_the_majority_of_scattered_completions_may_be_one_of_four():
    assert survives("majority", "7", ["7", "7", "8", "9"], eq)
    assert not survives("majority", "7", ["7", "8", "8", None], eq)


def test_statement_60_a_completion_that_failed_is_no_match():
    assert matches("7", ["7", None, "8", None], eq) == (True, False, False, False)
    assert not survives("mid", "7", ["7", None, None, None], eq)


@pytest.mark.parametrize("rule", RULES)
def test_nothing_survives_without_a_completion_that_agrees(rule):
    assert not survives(rule, "7", [], eq)
    assert not survives(rule, "7", [None, None], eq)


def test_answers_are_compared_as_the_task_compares_them():
    def equal(one, other):
        return float(one) == float(other)

    assert survives("strict", "7", ["7.0", "07"], equal)


@given(st.sampled_from(RULES), ANSWERS)
def test_one_more_completion_that_agrees_never_ends_a_survival(rule, completed):
    if survives(rule, "7", completed, eq):
        assert survives(rule, "7", [*completed, "7"], eq)


@given(
    st.sampled_from(RULES),
    ANSWERS.flatmap(lambda each: st.tuples(st.just(each), st.permutations(each))),
)
def test_the_order_of_completions_does_not_matter(rule, orders):
    one, other = orders
    assert survives(rule, "7", one, eq) == survives(rule, "7", other, eq)
