from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_qstar.protocols import Task
from langchain_qstar.stepping.solutions import solution_end

TASK = Task(
    name="plain",
    messages=lambda question: (("user", question),),
    answer=lambda text: None,
    is_terminal=lambda text: "answer" in text,
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\nanswer 5\nmore\nanswer 6\n", "a\nanswer 5\n"),
        ("a\nb\n", ""),
        ("a\nanswer 5", ""),
        ("", ""),
    ],
)
def test_a_solution_ends_with_the_first_finished_line_that_completes_it(text, kept):
    assert text[: solution_end(TASK)(text)] == kept


def test_what_was_written_before_counts():
    counted = replace(TASK, is_terminal=lambda text: text.count("\n") >= 3)
    assert solution_end(counted)("a\nb\nc\n") == 6
    assert solution_end(counted, "x\ny\n")("a\nb\nc\n") == 2


def test_a_step_of_several_lines_is_not_torn():
    def paragraph(text: str) -> int:
        return text.find("\n\n") + 2 if "\n\n" in text else 0

    whole = replace(TASK, step_end=paragraph)
    text = "a\n\nanswer:\n5\n\nmore\n\n"
    assert text[: solution_end(whole)(text)] == "a\n\nanswer:\n5\n\n"
