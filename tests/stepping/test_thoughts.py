"""What models write, and the steps that it is cut into."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.protocols import Task
from langchain_qstar.stepping.splitting import pieces
from langchain_qstar.stepping.thoughts import MOST_LINES, calculation_end, thought_end

THOUGHTS = Task(
    name="plain",
    messages=lambda question: (("user", question),),
    answer=lambda text: None,
    is_terminal=lambda text: False,
    step_end=thought_end,
)
CALCULATIONS = replace(THOUGHTS, step_end=calculation_end)

WRITTEN = {
    "prose": ["Ben has 3 boxes.\n", "Each holds 4 pens.\n\n", "So 3 * 4 = 12 pens.\n"],
    "a label alone": ["Step 1:\nBen has 3 boxes.\n", "Step 2\nSo 3 * 4 = 12 pens.\n"],
    "a label with text": ["Step 1: Ben has 3 boxes.\n", "**Step 2:** So 3 * 4 = 12.\n"],
    "headings": [
        "### Step 1: Find the boxes\n\nBen has 3 boxes.\n\n",
        "### Step 2: Multiply\n3 * 4 = 12\n\n",
        "### Answer\n12\n",
    ],
    "a list with its items": [
        "1. **Boxes**:\n   - Ben has 3 boxes.\n",
        "   - Each holds 4 pens.\n",
        "2. First:\n   a. 2 bags\n",
        "   b. 4 pens\n",
    ],
    "a displayed formula": ["The total is:\n\\[\n3 \\times 4\n= 12\n\\]\n", "So there are 12.\n"],
    "a formula in one line": ["The total:\n\\[ 3 \\times 4 = 12 \\]\n", "So there are 12.\n"],
    "brackets that lost their backslash": ["The total:\n[\n3 * 4 = 12\n]\n", "So 12 pens.\n"],
    "dollars": ["Total:\n$$\n3 \\times 4 = 12\n$$\n", "In all $$3 + 9 = 12$$\n", "So 12.\n"],
    "an environment": [
        "\\begin{align}\nx &= 3 \\\\[2pt]\ny &= 4\n\\end{align}\n",
        "So x + y = 7.\n",
    ],
    "an environment in a formula": [
        "\\[\n\\begin{aligned}\nx &= 3 \\\\\ny &= 4\n\\end{aligned}\n\\]\n",
        "So x + y = 7.\n",
    ],
    "code": [
        "Compute it:\n```python\n# The answer is x\nx = 3\n\nprint(x)\n```\n",
        "So 3.\n",
    ],
    "code within code": ["````\n```\nx = 3\n```\n````\n", "~~~\ny = 4\n~~~\n"],
    "code that is not closed": ["Compute it:\n```python\nx = 3\nprint(x)\n"],
    "code that is not closed before the answer": [
        "```\nx = 3\nThe answer is 3.\n",
        "Another problem: 4 pens\n",
    ],
    "a formula that is not closed": ["So \\[ 3 * 4 = 12\nAnd there are 12 pens.\n", "Then 7.\n"],
    "a price that looks like a formula": [
        "It costs $$5.\nThat is what Ben has to pay.\n",
        "Then 7.\n",
    ],
    "a table": ["Here:\n| a | b |\n|---|---|\n| 1 | 2 |\n\n", "So 3.\n"],
    "a bold heading": ["**Multiply**\n3 * 4 = 12\n", "**So the total is 12.**\n", "__End__\n7\n"],
    "an equation over two lines": ["Total = 3 * 4\n= 12\n", "Rest = 12 -\n5 = 7\n"],
    "an expression over lines": ["Total = 12/4\n= 3\n", "x = \\frac{12}{4}\n= 3\n"],
    "values": ["x = -12\n", "y = 3/4\n", "z = \\frac{3}{4}\n", "From 10-12.\n", "5%\n", "1,200\n"],
    "answers": [
        "x = 12\n",
        "The answer is 12.\n",
        "**Answer: 12**\n",
        "### The answer is 12\n",
        "#### 72\n",
        "\\boxed{12}\n",
        "\\[\n\\boxed{12}\n\\]\n",
    ],
    "an answer on the next line": ["Answer:\n12\n"],
    "German": ["Schritt 1:\nBen hat 3 Kisten.\n", "Die Antwort ist 12.\n"],
    "Chinese": ["步骤1：\n本有3个盒子。\n", "3 × 4 = 12 支。\n", "答案是 12。\n"],
    "one line": ["Ben has 12"],
    "JSON": ['{\n  "steps": [\n    "3 * 4 = 12"\n', '  ],\n  "answer": 12\n}\n'],
    "brackets only": ["[\n[\n[\n]\n[\n]\n"],
    "rules": ["3 * 4 = 12\n", "---\nSo 12.\n---\n"],
    "many rules": ["---\n" * 20 + "So 12.\n", "Then 7.\n"],
    "windows lines": ["Ben has 3.\r\n\r\n", "So 4.\r\n"],
    "nothing": [],
}


@pytest.mark.parametrize("task", [THOUGHTS, CALCULATIONS], ids=["thought", "calculation"])
@pytest.mark.parametrize("expected", WRITTEN.values(), ids=WRITTEN)
def test_what_models_write_is_cut_into_steps(expected, task):
    assert pieces("".join(expected), task) == expected


def test_of_a_calculation_a_paragraph_without_a_number_is_the_beginning():
    steps = ["We need the total of the pens\n\\[ 3 \\times 4 = 12 \\]\n", "So 12.\n"]
    assert pieces("".join(steps), CALCULATIONS) == steps
    assert len(pieces("".join(steps), THOUGHTS)) == 3
    words = "First the boxes.\nThen the pens.\nThen all.\nThen again.\n"
    assert pieces(words, CALCULATIONS)[0] == "First the boxes.\nThen the pens.\nThen all.\n"


def test_an_answer_without_a_number_ends_a_calculation():
    assert calculation_end("The answer is yes.\n") == 19


def test_who_announces_for_ever_is_cut():
    text = "And then:\n" * 40
    assert thought_end(text) == len("And then:\n") * MOST_LINES


def test_an_unfinished_line_is_no_step():
    assert thought_end("Ben has 3 boxes.") == 0
    assert thought_end("") == thought_end("\n\n") == 0


LINES = st.sampled_from(
    [*{line for steps in WRITTEN.values() for line in "".join(steps).splitlines()}, "", "  ", "]"]
)
TEXTS = st.lists(LINES, max_size=25).map("\n".join) | st.text("a1 \n.:=*|[]\\`#$-{}", max_size=80)
ENDS = st.sampled_from([thought_end, calculation_end])


@given(TEXTS, st.sampled_from([THOUGHTS, CALCULATIONS]))
def test_joined_the_steps_are_the_text(text, task):
    assert "".join(pieces(text, task)) == text


@given(TEXTS, st.sampled_from([THOUGHTS, CALCULATIONS]))
def test_every_step_has_a_word_or_a_number(text, task):
    steps = pieces(text, task)
    assert all(re.search(r"[^\W_]", each) for each in steps[:-1])
    assert len(steps) < 2 or re.search(r"[^\W_]", steps[-1])


@given(TEXTS, ENDS)
def test_what_follows_does_not_move_the_end_but_for_blank_lines(text, end):
    whole = end(text)
    for newline in re.finditer("\n", text):
        so_far = end(text[: newline.end()])
        if so_far:
            assert text[:so_far].rstrip() == text[:whole].rstrip()
        else:
            assert not whole or whole > newline.start() + 1


@pytest.mark.parametrize(
    "text",
    [
        "```\n" + "x = 1\n" * 17_000,
        "a 1\n" * 25_000,
        "x = " + "\\frac" * 20_000 + "y\n",
        "= " + "1 " * 50_000 + "\n",
        "####" + " " * 100_000 + "x\n",
        "**" + "a" * 100_000 + "\n",
        "answer:" + "*:" * 50_000 + "\n",
        "\\[\n" * 33_000,
        "\n" * 100_000,
        "a:\n" * 33_000,
        "| a | b |\n" * 10_000,
        "\\text{" * 16_000 + "\n",
    ],
    ids=lambda text: repr(text[:8]),
)
def test_hostile_texts_are_read_through_once(text):
    """A pattern that goes back over what it read would not come to an end here."""
    assert "".join(pieces(text, CALCULATIONS)) == text
