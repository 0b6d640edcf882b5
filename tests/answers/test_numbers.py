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
    guess_number,
    parse_number,
    same_number,
    states_number,
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
        ("The answer is 48.\n\nCheck: 2 + 2 = 4.", "48"),
        ("The answer is", None),
        ("4 + 5 = 9", None),
        ("The total is 12.", None),
        ("", None),
    ],
)
def test_the_final_answer_is_the_number_that_is_announced(text, answer):
    assert final_number(text) == answer
    assert states_number(text) is (answer is not None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Final answer:\n42\n", "42"),
        ("### Answer\n\n42 pens\n", "42"),
        ("Kim buys pens.\n**Final Answer**\n\nKim has 42 pens.\n", "42"),
        ("**Final Answer:** 42", "42"),
        ("**Final Answer** $42$", "42"),
        ("Final Answer - 42", "42"),
        ("__Answer:__ 42", "42"),
        ("The final answer is:\n\n$\\boxed{42}$\n", "42"),
        ("The final answer is:\n\n\\[\n\\boxed{42}\n\\]\n", "42"),
        ("The answer is as follows:\n```\n42\n```", "42"),
        ("The answer is the sum of both:\n7 + 35 = 42\n", "42"),
        ("The answer, then, is 42.", "42"),
        ("The answer to the question is 42.", "42"),
        ("The answer would be 42.", "42"),
        ("Final Answer: The final answer is $42$. I hope it is correct.", "42"),
        ("#### $1,250.50", "1250.5"),
        ("#### 72 clips", "72"),
        ("#### **72**", "72"),
        ("... in all. #### 72", "72"),
        ("####\n72", "72"),
        ("#### Answer: 72", "72"),
        ('{"reasoning": "7*6=42", "answer": "42"}', "42"),
    ],
)
def test_an_answer_is_announced_in_many_forms(text, answer):
    assert final_number(text) == answer
    assert states_number(text)


@pytest.mark.parametrize(
    "heading",
    [
        "#### Step 1: Count the boxes",
        "### Step 4: Find the final answer",
        "#### 1. Count the boxes",
        "#### 2) Multiply by 6",
        "#### 1 Count The Boxes",
        "#### 7 boxes of 6 pens",
        "#### 3 steps to solve",
        "#### Total",
        "##### 72",
        "### 72 and more",
    ],
)
def test_a_heading_announces_no_number(heading):
    assert final_number(f"{heading}\nThere are 7 boxes.\n") is None
    assert not states_number(f"{heading}\nThere are 7 boxes.\n")
    assert final_number(f"{heading}\nThere are 7 boxes.\nThe answer is 42.\n") == "42"


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("minus 7.", "-7"),
        ("negative seven", "-7"),
        ("(-5).", "-5"),
        ("$-7.", "-7"),
        ("-$7.", "-7"),
        ("x = 15 since 3x = 45.", "15"),
        ("15, because 45 / 3 = 15.", "15"),
        ("12 = 3 * 4.", "12"),
        ("3 × 4 = 12.", "12"),
        ("10/3 ≈ 3.33.", "3.33"),
        ("1_000.", "1000"),
        ("2½.", "2.5"),
        ("⅓.", "1/3"),
        ("“42”.", "42"),
        ("１２.", "12"),
        ("1’000.", "1000"),
        ("1\u2009000.", "1000"),
        ("−5.", "-5"),
        ("twenty-one apples.", "21"),
        ("one hundred and five.", "105"),
        ("half a cup.", "0.5"),
        ("two and a half.", "2.5"),
        ("one.", "1"),
        ("a dozen.", "12"),
        ("7 dozen.", "7"),
        ("5 hundred.", "500"),
        ("1.5 million.", "1500000"),
        ("25 percent.", "25"),
        ("5, not 6.", "5"),
        ("15 of the 30.", "15"),
        ("12 dollars in 3 weeks.", "12"),
        ("5 apples for each of the 3 children.", "5"),
        ("30 minutes (half an hour).", "30"),
        ("60 km/h.", "60"),
        ("1 1/2 cups.", "1.5"),
        ("4 and 1/2.", "4.5"),
        ("the number 7.", "7"),
        ("on the 3rd day she had 14.", "14"),
    ],
)
def test_the_number_of_a_sentence_is_read(said, answer):
    assert final_number(f"The answer is {said}") == answer


@pytest.mark.parametrize(
    "said",
    [
        "5 - 3",
        "3 × 4",
        "three times 5.",
        "2x + 3.",
        "5x.",
        "5 or 6.",
        "between 5 and 7.",
        "2 to 3.",
        "2,5",
        "3:30.",
        "1 hour 30 minutes.",
        "5 feet 3 inches.",
        "5'3.",
        "20 dollars and 50 cents.",
        "5 apples and 3 pears.",
        "5 of 7",
        "x = 5 and y = 3.",
        "not 5.",
        "two dozen.",
        "one quadrillion.",
        "unknown.",
    ],
)
def test_a_sentence_with_several_numbers_or_none_states_none(said):
    assert final_number(f"The answer is {said}") is None
    assert final_number(f"Let us add.\nAnswer: {said}") is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 12. The answer is 15.", None),
        ("The answer is 12. The answer is 12.0.", "12"),
        ("The answer is twelve.\n#### 12\nFinal answer: 12 pens", "12"),
        ("The answer is 12. \\boxed{15}", "12"),
        ("The answer is unknown. \\boxed{15}", "15"),
        (r"\boxed{15} or \boxed{}", "15"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{42\text{ pens}}", "42"),
        (r"\boxed{7 \times 6 = 42}", "42"),
        (r"\boxed{}", None),
    ],
)
def test_markers_that_differ_are_none_and_a_box_counts_where_they_say_nothing(text, answer):
    assert final_number(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: Let us compute. 7 * 6 = 42.\n", None),
        ("Answer: Tom has 3 bags.\n", None),
        ("Answer: Tom has 3 bags.\nSo it is more. The answer is 15.\n", "15"),
        ("Tom buys bags.\nAnswer: Tom has 3. Each holds 5.\n", None),
        ("Tom buys bags.\nAnswer: Tom has 15 apples.\n", "15"),
        ("Answer: 15 apples. I hope it is correct.\n", "15"),
        ("Check that the answer is 5.\n", None),
        ("If each bag holds 7, the answer is 42.\n", "42"),
    ],
)
def test_reasoning_after_a_marker_is_no_answer(text, answer):
    assert final_number(text) == answer
    assert states_number(text) is (answer is not None)


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("She had $22.\nSo after that the total now is $19.", "19"),
        ("He has twelve apples.\n", "12"),
        ("1. Add.\n2. So he has 14 left.", "14"),
        ("Step 3: He has 14.\n```\n", "14"),
        ("He has 14. That is 14 apples, I hope it is correct.", "14"),
        ("3*6=18", None),
        ("Kim has 7 boxes of 6 pens.", None),
        ("Does he have 5?", None),
        ("He has 5.\nThe rest is gone.", None),
        ("", None),
    ],
)
def test_the_only_number_of_the_last_sentence_is_a_guess(text, guess):
    assert guess_number(text) == guess


@given(st.integers(-(10**12), 10**12), st.sampled_from(["The answer is {:,}.", "#### {}", "A: {}"]))
def test_what_is_announced_is_read_back(number, form):
    text = f"We add.\n{form.format(number)}\n"
    assert final_number(text) == str(number)
    assert states_number(text)


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
    for read in (parse_number, find_number, final_number, guess_number, states_number):
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
