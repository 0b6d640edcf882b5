from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.answers.numbers import (
    canonical_number,
    final_number,
    find_number,
    parse_number,
    same_number,
)

CASES = Path(__file__).parents[3] / "shared" / "data" / "grading_cases.jsonl"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30", "30"),
        ("30.0", "30"),
        ("1,250", "1250"),
        ("1 250 000", "1250000"),
        ("$1,250.50", "1250.5"),
        ("-$12", "-12"),
        ("−5", "-5"),
        ("(-5)", "-5"),
        ("+7", "7"),
        (".5", "0.5"),
        ("500.", "500"),
        ("0120", "120"),
        ("34%", "34"),
        ("175 miles.", "175"),
        ("5 USD", "5"),
        ("x = 20", "20"),
        ("3/4 cup", "0.75"),
        ("1/3", "1/3"),
        ("1 1/2", "1.5"),
        ("-1 1/2", "-1.5"),
        (r"1\frac{1}{2}", "1.5"),
        (r"\boxed{\dfrac14}", "0.25"),
        (r"27{,}000", "27000"),
        (r"36 \text{ eggs}", "36"),
        (r"2.6 \times 10^3", "2600"),
        ("2.125e3", "2125"),
        ("70 million", "70000000"),
        ("250k", "250000"),
        ("**$7**", "7"),
    ],
)
def test_a_bare_answer_has_one_canonical_form(text, value):
    parsed = parse_number(text)
    assert parsed is not None
    assert canonical_number(parsed) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "$.",
        "unknown",
        "inf",
        "nan",
        "20 or 21",
        "13, 15",
        "18,00",
        "62-67",
        "366 + 3",
        "40x + 1",
        "270^2",
        "9**9**9",
        "1/0",
        "3:30",
        "5 of 7",
        "1/2/3",
        "5 apples and 3 pears",
        "1e999",
        "9" * 61,
        "9" * 10**6,
    ],
)
def test_no_number_or_more_than_one_is_no_answer(text):
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("4 + 5 = 9\nThe answer is 9.\n", "9"),
        ("The answer is 1,234 apples.", "1234"),
        ("The answer is that she has 5 left.", "5"),
        ("So the final answer is: **$2.50**", "2.5"),
        ("The answer is $4 + $5 = $9.", "9"),
        ("The answer is:\n\n500\n", "500"),
        ("work 3\nA: 48", "48"),
        ("work 3\n#### 1,000", "1000"),
        (r"Therefore \boxed{\frac{3}{2}}, as 7 shows", "1.5"),
        ("The answer is 4. No: the answer is 5.", "5"),
        ("The answer is 48.\n\nCheck: 2 + 2 = 4.", "48"),
        ("The answer is 5 - 3", None),
        ("The answer is twelve.", None),
        ("The answer is", None),
        ("4 + 5 = 9", None),
        ("", None),
    ],
)
def test_the_final_answer_is_the_number_after_the_last_marker(text, answer):
    assert final_number(text) == answer


def test_a_number_is_found_in_a_phrase():
    assert find_number("she has 5 apples left") == 5
    assert find_number("none") is None


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("30", "30.00", True),
        ("0.5", "1/2", True),
        ("19023741.599999998", "19023741.6", True),
        ("501667000", "501667001", False),
        ("12", "12.5", False),
        ("0.3333333333", "1/3", True),
        ("0.3", "1/3", False),
        ("0.0536", "3/56", False),
        ("0.00000001", "0", False),
        ("3", "-3", False),
        ("3", "three", False),
        ("three", "three", False),
    ],
)
def test_value_decides_whether_answers_are_the_same(a, b, same):
    assert same_number(a, b) is same
    assert same_number(b, a) is same


@given(st.fractions(min_value=-(10**20), max_value=10**20, max_denominator=10**6))
def test_the_canonical_form_reads_back_as_the_same_value(value):
    assert parse_number(canonical_number(value)) == value


@given(st.integers(-(10**15), 10**15), st.sampled_from(["{:,}", "${:,}.00", "{} apples", "**{}**"]))
def test_writing_a_number_in_another_way_does_not_change_it(number, form):
    assert parse_number(form.format(number)) == number


@given(st.text(max_size=80))
def test_no_text_makes_reading_fail(text):
    for read in (parse_number, find_number, final_number):
        read(text)


@pytest.mark.parametrize(
    "unit", ["9", "1,", "1 ", "-", "\\frac{", "\\boxed{", "answer* ", "The answer is ", "\n"]
)
def test_megabytes_are_read_in_bounded_time(unit):
    text = unit * (10**6 // len(unit))
    assert parse_number(text) is None
    final_number(text + "The answer is " + text)


def test_an_exponent_is_bounded():
    assert find_number("1e60") == Fraction(10) ** 60
    assert find_number("1e61") is None


@pytest.mark.skipif(
    not CASES.exists(), reason="the shared grading cases are not beside the checkout"
)
def test_the_shared_numeric_cases_are_graded_as_expected():
    cases = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
    wrong = []
    for case in (case for case in cases if case["kind"] == "numeric"):
        answer = case["pred"] if case["pred_form"] == "final" else final_number(case["pred"])
        if same_number(case["gold"], answer or "") is not case["equal"]:
            wrong.append(case["id"])
    assert wrong == []
