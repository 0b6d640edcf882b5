from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_qstar.stepping.solutions import solution_end
from langchain_qstar.stepping.thinking import apart, begins, is_cut, is_open, with_thoughts
from langchain_qstar.tasks.gsm8k import GSM8K

SEARCHED = with_thoughts(GSM8K)


@pytest.mark.parametrize(
    ("reply", "thought", "said"),
    [
        ("<think>\nhm\n</think>\n\nSo 12.\n", "hm", "So 12.\n"),
        ("hm\n</think>\nSo 12.\n", "hm", "So 12.\n"),
        ("<think>\n\n</think>\n\nSo 12.\n", "", "So 12.\n"),
        ("\n<think>hm", "hm", ""),
        ("So <think> is a tag.", "", "So <think> is a tag."),
        ("<think>a</think>b</think>c", "a", "b</think>c"),
        ("", "", ""),
    ],
)
def test_a_thought_is_kept_apart_from_what_is_said(reply, thought, said):
    assert apart(reply) == (thought, said)


def test_a_reply_ends_within_its_thought_or_after_it():
    assert is_cut(" <think>hm")
    assert not is_cut("<think>hm</think>")
    assert not is_cut("So 12.")
    assert is_open("<think>hm")
    assert not is_open("<think>hm</think>So")


def test_an_empty_thought_is_one():
    assert begins("<think></think>So")
    assert begins("<think>")
    assert not begins("So 12.")


def test_what_is_thought_neither_answers_nor_ends_a_solution():
    guess = "<think>\nThe answer is 9.\n"
    assert not SEARCHED.is_terminal(guess)
    assert SEARCHED.read(guess) == (None, False)
    closed = f"{guess}No.\n</think>\n\n"
    assert not SEARCHED.is_terminal(closed)
    whole = f"{closed}The answer is 12.\n"
    assert SEARCHED.is_terminal(whole)
    assert SEARCHED.read(whole) == ("12", False)
    assert whole[: solution_end(SEARCHED)(f"{whole}The answer is 13.\n")] == whole


def test_a_step_ends_with_the_thought_it_is_in():
    end = SEARCHED.step_end
    assert end is not None
    first = "<think>\nBen has 3 boxes.\n"
    assert end(first + "Each 4.\n") == len(first)
    closing = "so we multiply:\n</think>\n\n"
    assert end(closing) == len(closing)
    assert end(closing + "3 * 4 = 12\n") == len(closing)
    assert end("so</think>") == 0


def test_a_task_without_a_form_of_steps_has_its_lines():
    end = with_thoughts(replace(GSM8K, step_end=None)).step_end
    assert end is not None
    assert end("a:\nb\n") == 3
    assert end("a") == 0
