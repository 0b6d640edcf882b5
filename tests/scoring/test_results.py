"""What a step comes to, by which samples agree."""

from __future__ import annotations

from fractions import Fraction

import pytest

from langchain_qstar.scoring.results import numbers_in, result_of, results_of

QUESTION = "Tom has 12 boxes of 4 pens and gives 8 pens away. How many pens are left?"


@pytest.mark.parametrize(
    ("step", "result"),
    [
        ("12 * 4 = 48\n", 48),
        ("So Tom has 12*4=48 pens, and 48 - 8 = 40 are left.\n", 40),
        ("\\[ 12 \\times 4 = 48 \\]\n", 48),
        ("**Step 2:** he keeps 48 - 8 = $40.\n", 40),
        ("Altogether there are 48 pens.\n", 48),
        ("The answer is 40.\n", 40),
        ("#### 12\n", 12),  # an answer may be a number of the question
        ("12 * 1 = 12\n", 12),
    ],
)
def test_a_step_comes_to_what_it_finds(step, result):
    assert result_of(step, QUESTION) == result


@pytest.mark.parametrize(
    "step",
    [
        "Let's break it down step by step.\n",
        "Tom has 12 boxes of 4 pens.\n",  # copied
        "### Step 3: What is left\n",
        "1. Count the boxes.\n",
        "\n",
    ],
)
def test_copying_and_announcing_find_nothing(step):
    assert result_of(step, QUESTION) is None


def test_what_the_path_has_found_is_found_once():
    path = ["12 * 4 = 48\n", "4 * 12 = 48\n", "There are 48 pens.\n", "48 - 8 = 40\n"]
    assert results_of(path, QUESTION) == [48, None, None, 40]


def test_an_answer_may_be_what_the_path_has_found():
    assert results_of(["48 - 8 = 40\n", "The answer is 40.\n"], QUESTION) == [40, 40]


def test_numbers_are_exact_and_those_of_lists_are_none():
    assert numbers_in("2. It costs $1,250.50, a 1/3 of it\n") == (
        Fraction("1250.5"),
        Fraction(1, 3),
    )


def test_a_step_of_a_model_that_never_stops_is_read_from_its_end():
    assert result_of("9 " * 50_000 + "= 7 * 3 = 21", QUESTION) == 21
