from __future__ import annotations

import pytest

from langchain_qstar.stepping.repeats import repeats

SAID = "Ben has three boxes.\n"


@pytest.mark.parametrize(
    "again",
    [
        "Ben has three boxes.\n\n",
        "Step 3: Ben has three boxes.",
        "**Step 3:** Ben has three boxes.\n",
        "2. Ben has three boxes.\n",
        "(2) Ben has three boxes.\n",
        "- ben has  three boxes.\n",
        "### Ben has three boxes.\n",
    ],
)
def test_labels_markup_and_space_make_no_difference(again):
    assert repeats(again, ["So 3.\n", SAID])


@pytest.mark.parametrize(
    ("step", "before"),
    [
        ("Ben has four boxes.\n", SAID),
        ("So the value is -3.\n", "So the value is 3.\n"),
        ("We add (3 + 4) and 5 * 2 pens.\n", "We add 3 + (4 and 5) * 2 pens.\n"),
        ("Ben gives 7 + 3 of his pens.\n", "Ben gives 7 - 3 of his pens.\n"),
    ],
)
def test_what_says_something_else_is_no_repetition(step, before):
    assert not repeats(step, [before])


@pytest.mark.parametrize(
    "short",
    [
        "7 + 5 = 12\n",
        "Total = 12\n",
        "Step 2:\n7 + 5 = 12\n",
        "\\[ \\frac{1}{2} \\times \\dfrac{3}{4} \\]\n",
    ],
)
def test_short_equations_may_be_needed_twice(short):
    assert not repeats(short, [short])


def test_scripts_without_spaces_have_words_too():
    assert repeats("所以总共有12支铅笔。\n", ["所以总共有12支铅笔。\n"])
    assert not repeats("3 × 4 = 12 支\n", ["3 × 4 = 12 支\n"])


def test_the_first_step_repeats_nothing():
    assert not repeats(SAID, [])
