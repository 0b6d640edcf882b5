"""Every way of writing an operation is a true chain that ends in its value."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.problems.equations import evaluate, false_equation, write_equation


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


@pytest.mark.parametrize(
    "text",
    [
        "Tom has 5*6=30 apples.",
        "That is 13*4=10*4+3*4=40+12=52.",
        "20-10-8=10-8=2 are left.",
        "84/7=70/7+14/7=10+2=12",
        "The answer is 12.",
        "1/0=",
    ],
)
def test_true_or_unreadable_text_has_no_slip(text: str) -> None:
    assert false_equation(text) is None


@pytest.mark.parametrize(
    ("text", "chain"),
    [
        ("Tom has 5*6=35 apples.", "5*6=35"),
        ("fine 2+2=4 but 12+9=20+1=22", "12+9=20+1=22"),
        ("7/2=3", "7/2=3"),
    ],
)
def test_a_false_chain_is_found(text: str, chain: str) -> None:
    assert false_equation(text) == chain
