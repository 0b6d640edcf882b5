from __future__ import annotations

import importlib.util
import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_qstar.answers import final_latex
from langchain_qstar.checks import latex
from langchain_qstar.checks.latex import LENGTH, same_latex
from langchain_qstar.errors import MissingExtraError

CASES = Path(__file__).parents[3] / "shared" / "data" / "grading_cases.jsonl"
needs_algebra = pytest.mark.skipif(
    importlib.util.find_spec("math_verify") is None, reason="the extra 'checks' is not installed"
)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (r"\frac{1}{2}", r"\dfrac{1}{2}", True),
        (r"\frac{1}{2}", "0.5", True),
        (r"\frac43", r"1\frac{1}{3}", True),
        (r"\$32,\!348", "32348.00", True),
        ("5000000", "5 million", True),
        ("12", "12 centimeters", True),
        (r"90^\circ", r"90 \text{ degrees}", True),
        (r"10\%", "10", True),
        (r"-$12", "-12", True),
        ("2.6 \\times 10^3", "2600", True),
        ("2", "3", False),
        ("5", "5 million", False),
        (r"\text{Evelyn}", "evelyn", True),
        (r"\text{east}", r"\text{northeast}", False),
        (r"\text{(C)}", "C", True),
        ("(C)", "(D)", False),
        ("52_8", "52_{8}", True),
        ("52_8", "52_9", False),
        ("52_8", "42", False),
        ("12:00", "1:00", False),
        (r"\text{June 20}", "June 20", True),
        (r"\text{(B) } 5", "B", True),
        (r"0.1\overline{6}", r"\frac{1}{6}", True),
        (r"\varnothing", r"\emptyset", True),
        (r"\frac{3}{56}", "0.0536", False),
        ("", "", False),
        ("2", "", False),
    ],
)
def test_text_alone_decides_many_answers(a, b, same, monkeypatch):
    monkeypatch.setattr(latex.ALGEBRA, "ask", None)
    assert same_latex(a, b) is same
    assert same_latex(b, a) is same


@needs_algebra
@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (r"3\sqrt{13}", r"\sqrt{117}", True),
        (r"3\sqrt{13}", r"\sqrt{39}", False),
        ("x^2-1", "(x-1)(x+1)", True),
        ("2k", "2", False),
        ("288\\pi", "288", False),
        ("p - q", "q - p", False),
        ("x = 5", "5", True),
        ("k=1", "1", True),
        ("a + 3z = 0", "0", False),
        ("5x - 7y + 4 = 0", "-5x + 7y - 4 = 0", True),
        ("-13x+3", "-13x+3=0", False),
        ("3, 5, 7", r"\{7, 3, 5\}", True),
        ("(1,2)", "(2,1)", False),
        ("[0,5)", "[0,5]", False),
        ("(3,4]", r"\left(3, 4\right]", True),
        ("0 < f(x) < 1", "(0,1)", True),
        (r"1 \pm \sqrt{19}", r"1+\sqrt{19}, 1-\sqrt{19}", True),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}", True),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}", False),
        ("2**(1/4)", r"\sqrt{\sqrt{2}}", True),
        (r"\sqrt{5+2\sqrt{6}}", r"\sqrt{2}+\sqrt{3}", True),
        (r"\frac{6\sqrt{1789-240\sqrt{21}}+8\sqrt{1236-240\sqrt{21}}}{5}", r"96-10\sqrt{21}", True),
        (r"\cot x", r"\frac{1}{\tan x}", True),
        ("6 - 5i", "-5i+6", True),
        (r"5\times 10^{-20}\text{ J}", r"7\times 10^{-20}\text{ J}", False),
        (r"5\times 10^{-20}", r"0.5\cdot 10^{-19}", True),
        (r"\frac{1}{52!}", r"\frac{1}{51!}", False),
        ("100!", "100! + 1", False),
        ("2^{100}", "2^{100}+1", False),
        ("10^{400}", "10^{401}", False),
        ("e^{-50}", "e^{-51}", False),
        (r"\{1, 10^{-9}\}", r"\{1, 2\cdot 10^{-9}\}", False),
        (r"\{1, \sqrt{4}\}", r"\{2, 1\}", True),
        (r"(1, 10^{-9})", r"(1, 2\cdot 10^{-9})", False),
        (r"\begin{pmatrix}1\\10^{-8}\end{pmatrix}", r"\begin{pmatrix}1\\0\end{pmatrix}", False),
        (r"\sqrt{2}-\sqrt{2}", "0", True),
        (r"\sin(\pi)", "0", True),
        (r"\ln 2", "0.693147", True),
        (r"\ln 2", "0.6931", False),
        (r"\sin 30^\circ", r"\frac12", True),
        (r"\cos 60^\circ", r"\cos 60", False),
        (r"1 + \tan 45°", "2", True),
        ("30^\\circ", "30", True),
        (r"1,2,\dots,10", r"1,2,\dots,100", False),
        (r"1,2,\dots,10", r"1, 2, \ldots, 10", True),
        (r"1+2+\cdots+n", "1+2+...+n", True),
        (r"1,\sqrt{4},…,10", r"1,2,\dots,10", True),
        (r"1,\dots,2,10", r"1,2,\dots,10", False),
        (r"1,2,\dots", "1,2", False),
    ],
)
def test_algebra_decides_the_rest(a, b, same):
    assert same_latex(a, b) is same
    assert same_latex(b, a) is same


def written(value: Fraction) -> st.SearchStrategy[str]:
    """Ways to write a fraction, exactly."""
    top, bottom = value.numerator, value.denominator
    forms = [
        rf"\frac{{{top}}}{{{bottom}}}",
        f"{top}/{bottom}",
        rf"\frac{{{6 * top}}}{{{6 * bottom}}}",
        rf"\frac{{{120 * top}}}{{5! \cdot {bottom}}}",
        rf"{top} \cdot {bottom}^{{-1}}",
        rf"\frac{{{top}}}{{2}} \div \frac{{{bottom}}}{{2}}",
        rf"\boxed{{\dfrac{{{top}}}{{{bottom}}}}}",
    ]
    if bottom == 1:
        forms += [str(top), f"{top}.00", f"x = {top}", rf"{top}\text{{ cm}}"]
    return st.sampled_from(forms)


@st.composite
def two_answers(draw):
    """Two numbers of like or unlike size, as they might be written; whether they are equal."""
    scale = Fraction(10) ** draw(st.integers(-25, 25))
    tops = st.integers(-9, 9)
    first, second = (draw(tops) * scale / draw(st.integers(1, 9)) for _ in "ab")
    if draw(st.booleans()):
        second = first
    return draw(written(first)), draw(written(second)), first == second


@needs_algebra
@settings(max_examples=150, deadline=None)
@given(two_answers())
def test_numbers_however_they_are_written_are_the_same_as_fractions_are(answers):
    a, b, same = answers
    assert same_latex(a, b) is same


@pytest.mark.parametrize(
    "text",
    [
        "9" * 10**6,
        "9^{9^{9}}",
        "10^{10^{10}}",
        "100000000!",
        r"\binom{10^8}{5 \cdot 10^7}",
        "(" * 1000 + "1",
        r"\frac{" * 300 + "1",
        r"\frac{1}{",
        "{{{{",
        "x\x00y",
        "\u202ex+1",
        "__import__('os').system('id')",
        "x" * LENGTH,
    ],
    ids=lambda text: ascii(text[:20]),
)
@needs_algebra
def test_hostile_answers_are_contained_and_not_the_same(text):
    assert same_latex(text, "x + 1") is False
    assert same_latex("x + 1", "1 + x") is True


def test_deep_nesting_is_not_sent_to_algebra(monkeypatch):
    monkeypatch.setattr(latex.ALGEBRA, "ask", None)
    assert same_latex("(" * 50 + "x" + ")" * 50, "y") is False


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(latex, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"langchain-qstar\[checks\]"):
        same_latex("x + 1", "1 + x")
    assert same_latex("0.5", r"\frac12")


@given(st.text(alphabet="01x .$\\{}[](),=^_-frac%", max_size=40))
def test_cleaning_never_fails(text):
    latex.cleaned(text)


@needs_algebra
@pytest.mark.skipif(not CASES.exists(), reason="the shared data is not beside the checkout")
def test_the_shared_latex_cases_are_graded_as_expected():
    cases = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
    formulas = [case for case in cases if case["kind"] == "latex"]
    wrong = []
    for case in formulas:
        gold = case["gold"] if case["gold_form"] == "final" else final_latex(case["gold"])
        answer = case["pred"] if case["pred_form"] == "final" else final_latex(case["pred"])
        if same_latex(gold or "", answer or "") is not case["equal"]:
            wrong.append(case["id"])
    assert len(wrong) <= 0.015 * len(formulas), wrong
