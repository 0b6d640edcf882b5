from __future__ import annotations

import pytest

from langchain_qstar.errors import InputError
from langchain_qstar.evaluation.grading import grade, grade_text
from langchain_qstar.tasks import GSM8K, MATH, STRATEGYQA


@pytest.mark.parametrize(
    ("text", "gold", "task", "found"),
    [
        ("3*6=18\nThe answer is 18.0 apples.", "18", GSM8K, "right"),
        ("3*6=18\nThe answer is 19.", "18", GSM8K, "wrong"),
        ("3*6=18", "18", GSM8K, "unparsed"),
        ("The answer is eighteen.", "18", GSM8K, "right"),
        (r"The answer is $\boxed{\frac{1}{2}}$.", "0.5", MATH, "right"),
        ("The answer is no.", "yes", STRATEGYQA, "wrong"),
        ("Perhaps.", "yes", STRATEGYQA, "unparsed"),
    ],
)
def test_a_solution_without_an_answer_is_apart_from_a_wrong_one(text, gold, task, found):
    assert grade_text(text, gold, task) == found


def test_no_answer_is_unparsed():
    assert grade(None, "18", GSM8K) == "unparsed"
    assert grade("18.00", "18", GSM8K) == "right"


def test_the_gold_answer_is_read_as_its_data_set_writes_it():
    assert grade("18", "3*6=18\n#### 18", GSM8K) == "right"
    assert grade_text("Now it is $18.", "18", GSM8K) == "right"
    with pytest.raises(InputError, match="cannot read the gold answer"):
        grade("18", "unknown", GSM8K)
