from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_qstar.protocols import Task
from langchain_qstar.stepping.profiles import endless
from langchain_qstar.stepping.splitting import pieces
from langchain_qstar.stepping.thoughts import thought_end

TASK = Task(
    name="plain",
    messages=lambda question: (("user", question),),
    answer=lambda text: None,
    is_terminal=lambda text: False,
)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a\nb\n", ["a\n", "b\n"]),
        ("a\n\n\nb", ["a\n\n\n", "b"]),
        ("a", ["a"]),
        ("", []),
    ],
)
def test_by_stop_strings_blank_lines_belong_to_the_line_before(text, steps):
    assert pieces(text, TASK) == steps
    assert pieces(text, replace(TASK, step_end=thought_end)) == steps


def test_without_any_end_the_text_is_one_step():
    assert pieces("a\nb\n", replace(TASK, stop=())) == ["a\nb\n"]


def test_steps_counted_in_tokens_are_told_from_a_text_by_its_lines():
    assert pieces("a\nb\n", replace(TASK, step_end=endless)) == ["a\n", "b\n"]


def test_what_is_left_without_a_word_belongs_to_the_last_step():
    by_thoughts = replace(TASK, step_end=thought_end)
    assert pieces("So 3.\nSo 4.\n```\n", by_thoughts) == ["So 3.\n", "So 4.\n```\n"]
    assert pieces("---\n", by_thoughts) == ["---\n"]


def test_a_step_longer_than_most_is_found_whole():
    code = "```\n" + "x = 1\n" * 3_000 + "```\n"
    text = f"So 3.\n{code}So 4.\n" + "So on 5.\n" * 2_000
    steps = pieces(text, replace(TASK, step_end=thought_end))
    assert steps[:3] == ["So 3.\n", code, "So 4.\n"]
    assert len(steps) == 2_003
