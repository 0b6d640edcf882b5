from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.answers.words import (
    final_choice,
    final_yes_no,
    guess_choice,
    guess_yes_no,
    parse_choice,
    parse_yes_no,
    same_choice,
    same_yes_no,
    states_choice,
    states_yes_no,
)

CASES = Path(__file__).parents[3] / "shared" / "data" / "grading_cases.jsonl"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("yes", "yes"),
        (" NO.\n", "no"),
        ("True", "yes"),
        ("false", "no"),
        ("**Yes**", "yes"),
        (r"\boxed{\text{No}}", "no"),
        ('"Yes", because it is cold.', "yes"),
        ("No, it is not.", "no"),
        ("Norway", None),
        ("yesterday", None),
        ("not sure", None),
        ("none", None),
        ("no one knows", None),
        ("yes and no", None),
        ("yes/no", None),
        ("", None),
    ],
)
def test_a_bare_answer_is_its_first_word(text, answer):
    assert parse_yes_no(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It is cold.\nThe answer is no.", "no"),
        ("Many would say yes. So the final answer is **No**.", "no"),
        ("The answer is yes, not no.", "yes"),
        ("Is the answer no? It seems so. However, the answer is yes.", "yes"),
        ("Yes. Snow is cold.", "yes"),
        ("No, because snow is cold.", "no"),
        ("Snow is cold. Therefore, yes.", "yes"),
        (r"Snow is cold. Therefore \boxed{\text{yes}}.", "yes"),
        ("<think>No. The answer is no.</think>\nYes.", "yes"),
        ("Answer: No", "no"),
        ("#### yes", "yes"),
        ("Yes, at first. So no.", None),
        ("The answer is yes and no.", None),
        ("It cannot be determined.", None),
        ("I know the answer.", None),
        ("There is no doubt.", None),
    ],
)
def test_the_final_answer_follows_a_marker_or_stands_alone(text, answer):
    assert final_yes_no(text) == answer


def test_a_word_that_a_marker_announces_ends_a_solution():
    assert states_yes_no("Snow is cold.\n### Final Answer\nNo.\n")
    assert states_yes_no("Snow is cold.\n#### No")
    assert not states_yes_no("Yes. Snow is cold.\n")
    assert not states_yes_no("#### Step 1: yes\n")


def test_a_last_sentence_that_begins_with_a_word_is_a_guess():
    assert guess_yes_no("Snow is cold.\nNo, it would not.") == "no"
    assert guess_yes_no("Snow is cold, is it not?") is None


def test_answers_are_the_same_whatever_the_words():
    assert same_yes_no("yes", "True")
    assert same_yes_no("Answer: no", "#### No")
    assert not same_yes_no("yes", "no")
    assert not same_yes_no("maybe", "maybe")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(c)", "C"),
        ("C) 5 apples", "C"),
        (r"\text{(D)}", "D"),
        ("option e", "E"),
        ("**A**", "A"),
        ("A boat", None),
        ("a boat", None),
        ("A and B", None),
        ("A, C", None),
        ("Boat", None),
        ("", None),
    ],
)
def test_a_choice_is_one_letter(text, letter):
    assert parse_choice(text) == letter


def test_a_final_choice_needs_a_marker():
    assert final_choice("A is wrong.\nThe answer is (B).") == "B"
    assert final_choice("Work.\n#### B") == "B"
    assert final_choice("The answer is most likely (c).") == "C"
    assert final_choice(r"So \boxed{D}") == "D"
    assert final_choice("The answer is A. The answer is B.") is None
    assert final_choice("A: 5 apples\nB: 6 apples\nThe answer is (B).") == "B"
    assert final_choice("It must be (B).") is None


def test_a_choice_that_a_marker_announces_ends_a_solution():
    assert states_choice("The answer is (B).\n")
    assert not states_choice("It must be (B).\n")
    assert not states_choice("#### Step 1: A\n")


def test_the_only_letter_of_the_last_sentence_is_a_guess():
    assert guess_choice("It is warm.\nB.") == "B"
    assert guess_choice("It must be (B).") == "B"
    assert guess_choice("It is (A) or (B).") is None
    assert guess_choice("A boat is big.") is None


def test_choices_are_the_same_whatever_the_brackets():
    assert same_choice("(B)", "b")
    assert not same_choice("B", "C")
    assert not same_choice("none", "none")


@given(st.text(max_size=80))
def test_no_text_makes_reading_fail(text):
    for read in (parse_yes_no, final_yes_no, parse_choice, final_choice):
        read(text)


@pytest.mark.parametrize("unit", ["no ", "yes and ", "answer ", "So ", "(", "{", "A, ", "\n"])
def test_megabytes_are_read_in_bounded_time(unit):
    text = unit * (10**6 // len(unit))
    final_yes_no(text)
    final_choice(text)


@pytest.mark.skipif(not CASES.exists(), reason="the shared data is not beside the checkout")
def test_the_shared_boolean_cases_are_graded_as_expected():
    cases = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
    booleans = [case for case in cases if case["kind"] == "boolean"]
    wrong = []
    for case in booleans:
        answer = case["pred"] if case["pred_form"] == "final" else final_yes_no(case["pred"])
        if same_yes_no(case["gold"], answer or "") is not case["equal"]:
            wrong.append(case["id"])
    assert len(wrong) <= 0.03 * len(booleans), wrong
