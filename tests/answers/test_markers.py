from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.answers.latex import states_latex
from langchain_qstar.answers.markers import (
    closing_sentence,
    conclusion,
    final_answer,
    first_sentence,
    is_stated,
    statements,
)
from langchain_qstar.answers.numbers import states_number
from langchain_qstar.answers.words import states_choice, states_yes_no

STATES = (states_number, states_latex, states_yes_no, states_choice)


def said(text: str) -> list[str]:
    """What stands after the markers of a text."""
    return [each.said.strip(" *_:\t") for each in statements(text)]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("The answer is 5.", ["5."]),
        ("The answer is 4. No, the answer is 5.", ["4. No, the", "5."]),
        ("work\n#### 7", ["7"]),
        ("work\nA: 7", ["7"]),
        ("work\n**Answer:** 7 pens\nmore", ["7 pens"]),
        ("work\n**Final answer**\n\n\\[\n7\n\\]", ["7"]),
        ("work\n### The final answer\n7 pens", ["7 pens"]),
        ("work\n#### Final answer\n7 pens", ["7 pens"]),
        ("work\nThe answer is as follows:\n```text\n7\n```", ["7"]),
        ("work\nThe answer is the sum of both:\n3 + 4 = 7", ["3 + 4 = 7"]),
        ("Final answer: The final answer is 7.", ["7."]),
        ('{"answer": 7}', ["7}"]),
        ("The answer is", [""]),
        ("Final answer:\n\n", [""]),
        ("Final answer:\n### Notes\n", [""]),
        ("Check that the answer is 5.", []),
        ("Find the final answer\n7", []),
        ("The answers are 7. An answer. A man: 7.", []),
        ("##### 7", []),
        ("", []),
    ],
)
def test_a_marker_announces_its_line_or_the_next_that_says_something(text, after):
    assert said(text) == after


@pytest.mark.parametrize(
    "heading", ["#### Step 1: Count 3", "### Step 4: Find the final answer", "#### 1. Count"]
)
def test_a_heading_announces_nothing(heading):
    assert not any(said(f"Work.\n{heading}\n7 boxes\n")[:1]) or "Step 1" in said(heading)[0]
    assert not any(states(f"Work.\n{heading}\n7 boxes\n") for states in STATES)


def test_after_a_label_reasoning_may_begin():
    opening, later, longer = (
        statements(text)[0]
        for text in ("Answer: Tom has 3.", "Work.\nAnswer: Tom has 3.", "W.\nAnswer: A. B is it.")
    )
    assert (opening.sentence, later.sentence, longer.sentence) == (False, True, False)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("The answer is unknown.", True),
        ("So, the final answer is hard to say\n", True),
        ("It is so. The answer is unknown.", True),
        ("The answer is unkn", False),
        ("The answer is not 5.", False),
        ("We see that the answer is unknown.", False),
        ("The answer would be unknown.", False),
    ],
)
def test_a_finished_sentence_that_says_what_the_answer_is_ends_a_solution(text, ends):
    assert statements(text)[0].announced is ends


def test_two_different_answers_are_none_and_the_same_twice_is_one():
    def read(text: str) -> str | None:
        return final_answer(text, lambda each: first_sentence(each.said).strip(" ."), lambda _: "b")

    assert read("The answer is 4. The answer is 4.") == "4"
    assert read("The answer is 4. The answer is 5.") is None
    assert read("Nothing.") == "b"


def test_thoughts_and_the_next_turn_do_not_count():
    assert conclusion("<think>The answer is 4.</think>5<|im_end|>6") == "5"
    assert conclusion("<think>The answer is 4.\n") == ""
    assert conclusion("a thought</think>5") == "5"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("It was $22. Now it is $19.", "Now it is $19."),
        ("1. Add.\n2. So it is 14.\n```\n", "So it is 14."),
        ("It is 14. I hope it is correct.", "It is 14."),
        ("What is 3 and 4?", ""),
        ("Here it is:", ""),
        ("word " * 100, ""),
        ("", ""),
    ],
)
def test_the_last_sentence_that_says_something_closes_a_text(text, sentence):
    assert closing_sentence(text).strip() == sentence


LINES = st.lists(
    st.sampled_from(
        [
            *("The answer is 5.", "The answer is", "Answer: (B)", "#### 7", "#### Step 1: add"),
            *("### Final answer", "\\[", "\\boxed{", "\\boxed{7}", "}", "$x = 5$", "5 pens", ""),
            *("So, the answer is unknown.", "Answer: Let us see. We add.", "yes", "$$", "A: no"),
            *("If the answer is 5, stop.", "**Final Answer**", "The final answer is:", "1. Add 3"),
        ]
    ),
    max_size=8,
)


@given(LINES, LINES)
def test_a_solution_that_has_ended_stays_ended_whatever_follows(before, after):
    for states in STATES:
        if states("\n".join([*before, ""])):
            assert states("\n".join([*before, *after, ""]))


@given(st.text(alphabet="aA5:#*$\\{}[]() \n.?=-answer is<think>", max_size=60))
def test_no_text_makes_the_end_of_a_solution_fail(text):
    assert is_stated(text, lambda _: None) in {True, False}
    closing_sentence(text)
