"""Every way of writing an operation is a true chain that ends in its value."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.evaluation.slips import false_equation
from langchain_qstar.problems.equations import evaluate, write_equation


@given(
    op=st.sampled_from("+-*/"),
    a=st.integers(1, 999),
    b=st.integers(1, 99),
    seed=st.integers(0, 10_000),
)
def test_every_spelling_of_an_equation_is_true_and_ends_in_the_value(
    op: str, a: int, b: int, seed: int
) -> None:
    operands = [a * b, b] if op == "/" else [a + b, b] if op == "-" else [a, b]
    text = write_equation(op, operands, random.Random(seed))
    assert false_equation(text) is None
    assert text.rsplit("=", 1)[1] == str(evaluate(op, operands))


@given(terms=st.lists(st.integers(1, 300), min_size=3, max_size=6), seed=st.integers(0, 100))
def test_a_long_sum_is_added_two_terms_at_a_time(terms: list[int], seed: int) -> None:
    text = write_equation("+", terms, random.Random(seed))
    assert false_equation(text) is None
    counts = [part.count("+") for part in text.split("=")]
    assert counts == list(range(len(terms) - 1, -1, -1))


def test_one_product_has_several_spellings() -> None:
    texts = {write_equation("*", [13, 4], random.Random(seed)) for seed in range(50)}
    assert {"13*4=52", "4*13=52", "13*4=10*4+3*4=40+12=52"} <= texts


def test_a_division_with_remainder_has_no_value() -> None:
    assert evaluate("/", [7, 2]) is None
    assert evaluate("/", [7, 0]) is None


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown operation"):
        write_equation("^", [2, 3], random.Random(0))
