from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.answers.signs import latex_signs, plain_signs


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("2½", "2 1/2"),
        ("⅓ cup", " 1/3 cup"),
        ("−5", "-5"),
        ("2 × 3 ÷ 4", "2 * 3 / 4"),
        ("“42”", '"42"'),
        ("１２．５", "12.5"),
        ("－３＋４", "-3+4"),
        ("٤٢", "42"),
        ("1’000’000", "1000000"),
        ("1'000", "1000"),
        ("5'3", "5'3"),
        ("1_000", "1000"),
        ("x_1", "x_1"),
        ("1\u2009000\u202f000", "1 000 000"),
        ("4\u200b2", "42"),
        ("10³", "10^3"),
        ("3.14 ≈ π", "3.14 = π"),
        ("plain", "plain"),
    ],
)
def test_signs_of_typesetting_become_those_of_a_keyboard(text, plain):
    assert plain_signs(text) == plain


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("½", r"\frac{1}{2}"),
        ("√2 + √(x+1)", r"\sqrt{2} + \sqrt{x+1}"),
        ("2×3", r"2\times 3"),
        ("x²", "x^{2}"),
        ("x ≤ −３", r"x \leq  -3"),
        (r"\frac{1}{2}", r"\frac{1}{2}"),
    ],
)
def test_signs_of_typesetting_become_commands(text, formula):
    assert latex_signs(text) == formula


@given(st.text(max_size=40))
def test_no_text_makes_it_fail(text):
    plain_signs(text)
    latex_signs(text)
