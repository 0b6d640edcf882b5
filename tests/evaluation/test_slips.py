"""Arithmetic slips in solution text."""

from __future__ import annotations

import pytest

from langchain_qstar.evaluation.slips import false_equation


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
