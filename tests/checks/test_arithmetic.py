from __future__ import annotations

import json
import random
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.checks.arithmetic import LENGTH, arithmetic, check_text
from langchain_qstar.problems.generator import make_problem
from langchain_qstar.protocols import State, Step

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k.jsonl"


@pytest.mark.parametrize(
    "text",
    [
        "12*3=36",
        "Tom has 3*6=10+8=18 apples.",
        "Janet sells 16 - 3 - 4 = 9 duck eggs a day.",
        "The total is 80,000 + 50,000 = $130,000.",
        "She pays $12.50 x 4 = $50 for them.",
        "200 GB * 40% = 80 GB",
        "12/16 = 75 percent",
        "25 per cent * 80 = 20",
        "20% of 25 oranges = 5 oranges",
        "This is 12/20 x 100% = 60% of the students.",
        "5/20 * 100 = 25%",
        "100% - 20% = 80%",
        "8 units/floor * 15 floors = 120 units",
        "10 (for Mico) + 10 (for Marco) = 20",
        "1.5 million * 2 = 3 million",
        "1 1/2 + 1/2 = 2 hours",
        "1/2 + 1/4 = 3/4 cup",
        "(2 + 3) * 4 = 20",
        "5(3) = 15",
        "3x4=12, and 3 x 4 = 12",
        "15 ÷ 3 × 2 − 1 = 9",
        "2^10 = 1024, 2**3 = 8, 5! = 120",
        "5 plus 3 equals 8",
        "10 divided by 4 is equal to 2.5",
        r"$3 \times \frac{1}{2} = 1.5$",
        "350 000 x 5/100 = 17 500",
        "10/3 = 3.33, 2/3 = 0.67, 100/3 = 33, 1/8 = 0.13",
        "22/7 ≈ 3.14",
        "- 3 * 4 = 12",
        "2 - -3 = 5",
        "She has <<48/2=24>>24 left.",
        "**Step 1:** 3 × 4 = **12** pens",
        "**3 × 4 = 12**",
        "10² + 1 = 101, and 3 cm × 4 cm = 12 cm²",
        "1½ × 2 = 3, ½ + ¼ = ¾",
        "Total cost = $3 × 4 = $12",
        "40% of 50 = 0.4 × 50 = 20",
        "12 × 3 = 36 → 36 + 4 = 40",
        "(1/2)(10)(6) = 30",
        "8 + x = 15, so x = 15 - 8 = 7",
        r"Its area is $\frac{1}{2} \times 3 \times 10 = 15\mbox{ cm}^2$.",
        r"$85 + 12,\!000,\!003 = 12,\!000,\!088$",
        "She paid $5.00 for a total of 20+4+5 = $29.00.",
    ],
)
def test_true_equations_pass_in_whatever_notation(text):
    assert check_text(text).verdict is True


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("12*3=38", "12*3=38: 12*3 is 36"),
        ("Ann has 74-58=74-50-8=24-8=17 pens.", "24-8=17 pens: 24-8 is 16"),
        ("Sum: 12 = 3*5.", "12 = 3*5: 3*5 is 15"),
        ("3 + 4 = 7 + 2 = 9", "3 + 4 = 7 + 2: 3 + 4 is 7, 7 + 2 is 9"),
        ("2*3 = 6 = 7", "6 = 7: 6 is not 7"),
        ("10/3 = 3.34", "10/3 = 3.34: 10/3 is 3.333…"),
        ("**3 × 4 = 13**", "3 * 4 = 13: 3 * 4 is 12"),
        ("10² + 1 = 102", "10^2 + 1 = 102: 10^2 + 1 is 101"),
        ("7/2 = 3", "7/2 = 3: 7/2 is 3.5"),
        ("7/2 = 4", "7/2 = 4: 7/2 is 3.5"),
        ("20% of 50 = 12", "20% of 50 = 12: 20% of 50 is 10"),
        ("50 * 20% = 1000", "50 * 20% = 1000: 50 * 20% is 10"),
        ("9/20 = 44%", "9/20 = 44%: 9/20 is 0.45"),
        ("10/3 ≈ 5", "10/3 ≈ 5: 10/3 is 3.333…"),
        ("2 hours * 60 = 2 hours", "2 hours * 60 = 2 hours: 2 hours * 60 is 120"),
        (r"$3 \times 4 = 13$", "3 * 4 = 13: 3 * 4 is 12"),
        ("First 2 + 2 = 4, then 4 + 4 = 9.", "4 + 4 = 9: 4 + 4 is 8"),
        ("She has <<48/2=23>>24 left.", "48/2=23: 48/2 is 24"),
        ("Thus a total of 9 + 6 = 25 liters", "9 + 6 = 25 liters: 9 + 6 is 15"),
        ("4 * 25 = 101!", "4 * 25 = 101: 4 * 25 is 100"),
    ],
)
def test_a_false_equation_fails_and_the_reason_says_its_value(text, reason):
    assert check_text(text)[:2] == (False, reason)


@pytest.mark.parametrize(
    "text",
    [
        "Tom has some apples.",
        "The answer is 4.",
        "x + 2 = 5",
        "The rest - 2*3 = 5",
        "cost + 2*3 = 7",
        "2x + 3 = 14",
        "3x +4 - 4 = 28 - 4",
        "80 + x = 220 + 23",
        "f(2+1) = 9",
        "sqrt(16) + 1 = 6",
        "8:30 - 5:00 = 4",
        "3,5 + 2 = 5,6",
        "Day 2 = 3 * 4",
        "Pages 3-5 = 3 pages",
        "5 km + 300 m = 5.3 km",
        "6 + 5π = 21.7",
        "√16 + 1 = 6",
        "twice 3 + 4 = 10",
        "half of 10 + 2 = 6",
        "3 quarters * $.25 = 75 cents",
        "10 dozen * 2 = 240 eggs",
        "120 + 10% = 132",
        "2/3 * 30 = 0.67 * 30",
        "100/6 = 16 remainder 4",
        "3 > 2 = 1",
        "2 + 2 => 5",
        "17 = 18",
        "45% = 0.46",
        "3 + = 5",
        "= 5",
        "1/0 = 3",
        "3 / 1/2 = 6",
    ],
)
def test_what_is_no_plain_equation_is_not_checkable(text):
    assert check_text(text).verdict is None


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9 = 1",
        "2^99999999 = 1",
        "(10**7)! = 3",
        "1000000! = 3",
        "__import__('os').system('id') = 3",
        "12*3=38\x00",
        "\u202e12*3=38",
        "12*3\u200b=38",
        "\ud80012*3=38",
        r"\frac{1}{ = 3",
        r"\frac" * 500 + "1 = 1",
        r"\frac{" * 3000 + "1=1",
        "9" * 10**6 + "=1",
        "9" * (LENGTH - 10) + "=1",
        "1+" * 9000 + "1=5",
        "(" * 9000 + "1=2",
        "(" * 100 + "1" + ")" * 100 + "*2=3",
        "-" * 9000 + "1=2",
        "2*1=" + "-" * 50 + "3",
        "2^" * 5000 + "2=3",
        "1 " * 9000 + "=3",
        "1,2" * 5000 + "=3",
        "3!" * 6000 + "=1",
        "1(a" * 5000 + "=1",
        "<<" * 9000 + "1+1=3",
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_hostile_text_is_contained_and_not_checkable(text):
    assert check_text(text).verdict is None
    assert len(check_text(text).reason) < 200


def test_an_answer_that_an_earlier_step_computed_passes():
    state = State("?", steps=(Step("3*6=18\n"), Step("18+2=20\n")))
    assert arithmetic(state, "The answer is 20.\n") == (True, "20 is the result of an earlier step")
    assert arithmetic(state, "The answer is 18.0.\n")[0] is True
    assert arithmetic(state, "The answer is 7.\n")[0] is None


def test_an_answer_is_no_result_of_a_false_equation():
    assert arithmetic(State("?", steps=(Step("3*6=20\n"),)), "The answer is 20.\n")[0] is None


def test_a_whole_solution_passes_only_with_the_answer_it_computed():
    assert arithmetic(State("?"), "3*6=18\nThe answer is 18.\n")[0] is True
    assert arithmetic(State("?"), "3*6=18\nThe answer is 20.\n") == (
        None,
        "no true equation gives 20",
    )


@given(st.integers(-999, 999), st.integers(-999, 999), st.sampled_from("+-*"))
def test_sums_and_products_of_integers_are_judged_right(a, b, sign):
    value = {"+": a + b, "-": a - b, "*": a * b}[sign]
    assert check_text(f"{a} {sign} {b} = {value}").verdict is True
    assert check_text(f"{a} {sign} {b} = {value + 1}").verdict is False


@given(st.integers(0, 10**6), st.integers(1, 999), st.integers(0, 4))
def test_a_quotient_passes_rounded_to_the_digits_that_are_written(a, b, places):
    quotient = Fraction(a, b)
    rounded = round(quotient, places)
    written = f"{float(rounded):.{places}f}"
    exact = quotient == rounded
    terminating = 10**9 % b == 0
    if places or exact or not terminating:
        assert check_text(f"{a}/{b} = {written}").verdict is True


@given(st.integers(2, 10), st.integers(0, 10**6), st.integers(0, 99))
def test_every_step_of_the_generators_solutions_passes(steps, seed, draw):
    problem = make_problem("train", steps, seed)
    state = State(problem.question)
    for line in problem.solution(random.Random(draw)).splitlines(keepends=True):
        assert arithmetic(state, line)[0] is True, line
        state = state.then(Step(line))


@given(st.text(alphabet="0123456789+-*/^=().,% $x!\\{}frac\n", max_size=60))
def test_no_text_makes_the_check_fail(text):
    arithmetic(State("?"), text)


@pytest.mark.skipif(not GSM8K.exists(), reason="the shared data is not beside the checkout")
@pytest.mark.parametrize("annotated", [True, False])
def test_the_gold_solutions_of_gsm8k_raise_no_false_alarm(annotated):
    steps = [
        step if annotated else re.sub("<<.*?>>", "", step)
        for line in GSM8K.read_text("utf-8").splitlines()
        for step in json.loads(line)["solution"].splitlines()
    ]
    verdicts = [check_text(step).verdict for step in steps if "=" in step]
    assert verdicts.count(False) < 0.01 * len(steps)
    assert len(verdicts) - verdicts.count(None) >= 0.85 * len(verdicts)
