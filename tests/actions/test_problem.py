import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.actions import is_last_subquestion, problem_part


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("A pen costs $3.50. How much do 2 pens cost?", "How much do 2 pens cost?"),
        ("How old is Mr. Smith now?", "How old is Mr. Smith now?"),
        ("It is J. Doe. Where does he live now?", "Where does he live now?"),
        ("Let $x = 3.$ What is the value of $x + y$? $", "What is the value of $x + y$? $"),
        ("What is the sum\n\\[x + 0.5. \\]", "What is the sum\n\\[x + 0.5. \\]"),
        ("Find the root of $x^2.$ Give your answer as a whole.", "Find the root of $x^2.$"),
        ("Tom has 3 apples. How many?", "Tom has 3 apples. How many?"),
        ("1) A box holds 3 pens. Question: How many pens are there?", "How many pens are there?"),
        ("Find $x.$", "Find $x.$"),
        ("", ""),
    ],
)
def test_the_problem_part_is_the_last_real_sentence(question, part):
    assert problem_part(question) == part


@pytest.mark.parametrize(
    "subquestion",
    [
        "Now we can answer: what is left?",
        "Now we can answer the question: how many pens are there?",
        "How many pens are there in all boxes?",
        "So, how many pens are there in all boxes",
        "How many pens are there in all boxes, if each holds 6?",
    ],
)
def test_a_subquestion_that_asks_the_problem_is_the_last(subquestion):
    assert is_last_subquestion("Tom has boxes. How many pens are there in all boxes?", subquestion)


@pytest.mark.parametrize(
    ("question", "subquestion"),
    [
        ("What is $x + y$ if $x = 3$ and $y = 2.$", "What is $x$?"),  # the official part is `$`
        ("Compute the sum\n\\[x + 1. \\]", "What is \\[x\\]?"),
        ("A pen costs $3.50", "Which of 3 and 50 is larger?"),  # the official part is `50`
        ("What is $x$?", "What is $x$ + $y$?"),
        ("How many?", "How many boxes has Tom?"),
        ("How much is it?", "How much is it.5?"),
        ("", "What is it?"),
        ("How many pens are there?", ""),
    ],
)
def test_latex_and_decimals_make_no_subquestion_the_last(question, subquestion):  # statement 44
    assert not is_last_subquestion(question, subquestion)


@given(st.text(), st.text())
def test_any_text_is_judged_without_a_crash(question, subquestion):
    assert is_last_subquestion(question, subquestion) in (True, False)
    assert is_last_subquestion(question, f"Now we can answer: {subquestion}")
