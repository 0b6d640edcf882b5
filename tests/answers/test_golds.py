from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.answers.golds import gold_choice, gold_latex, gold_number, gold_yes_no
from langchain_qstar.answers.numbers import same_number

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize(
    ("written", "gold"),
    [
        ("72", "72"),
        ("51.0", "51"),
        ("1,250", "1250"),
        ("$12", "12"),
        ("12 pens", "12"),
        ("-0.5", "-0.5"),
        ("19023741.599999998", "19023741.599999998"),
        ("seventy-two", "72"),
        ("Ann has 3*4 = <<3*4=12>>12 pens.\n#### 12", "12"),
        ("3*4=12\n#### 1,250", "1250"),
        ("Ann has 12. #### -5", "-5"),
        (r"So it is \boxed{5}.", "5"),
        ("3 + 4 = 7. The answer is 7.", "7"),
        ("Ann has 3 boxes and 4 pens.", None),
        ("x #### ", None),
        ("unknown", None),
        ("True", None),
        ("5 or 6", None),
        ("", None),
    ],
)
def test_a_gold_number_is_bare_or_ends_a_solution(written, gold):
    assert gold_number(written) == gold


@pytest.mark.parametrize(
    ("written", "gold"),
    [
        (r"A long solution. So $x = \boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"\frac{1}{2}", r"\frac{1}{2}"),
        (r"\text{(C)}", r"\text{(C)}"),
        ("x = 5", "x = 5"),
        ("Friday", "Friday"),
        ("3*4=12\n#### 12", "12"),
        (r"\boxed{}", None),
        ("A solution\nwithout an answer.", None),
        (" ", None),
    ],
)
def test_gold_latex_is_boxed_or_bare(written, gold):
    assert gold_latex(written) == gold


@pytest.mark.parametrize(
    ("written", "gold"),
    [
        ("yes", "yes"),
        ("True", "yes"),
        ("false", "no"),
        ("Snow is cold.\n#### no", "no"),
        ("perhaps", None),
        ("", None),
    ],
)
def test_a_gold_word_is_yes_or_no(written, gold):
    assert gold_yes_no(written) == gold


@pytest.mark.parametrize(
    ("written", "gold"),
    [
        ("b", "B"),
        ("(C)", "C"),
        ("D) 5 apples", "D"),
        ("Work.\n#### B", "B"),
        ("5", None),
        ("", None),
    ],
)
def test_a_gold_choice_is_a_letter(written, gold):
    assert gold_choice(written) == gold


@given(st.text(max_size=80))
def test_no_text_makes_reading_fail(text):
    for read in (gold_number, gold_latex, gold_yes_no, gold_choice):
        read(text)


@pytest.mark.skipif(not DATA.exists(), reason="the shared data is not beside the checkout")
@pytest.mark.parametrize("name", ["gsm8k", "svamp", "multiarith", "gsmhard"])
def test_the_answers_of_the_benchmarks_are_read(name):
    for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        assert same_number(gold_number(record["answer"]) or "", record["answer"])
        own = gold_number(f"{record['solution']}\n#### {record['answer']}")
        assert own == gold_number(record["answer"])
