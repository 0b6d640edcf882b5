"""The three styles with bare files; the real files are read in `test_task_prompts`."""

from __future__ import annotations

import pytest

from langchain_qstar.errors import PromptError
from langchain_qstar.tasks.asking import Asking, PromptFiles

EXAMPLES = "Problem: a?\nSolution:\nOne.\n\n\nProblem: b?\nSolution:\nTwo."


@pytest.fixture
def files(folder):
    made = folder(instruction="{{question}} Think.", examples=EXAMPLES)
    return PromptFiles(made.name, made.parent)


def test_zero_shot_is_the_instruction(files):
    asking = Asking(files)
    assert asking("c {{question}}?") == (("user", "c {{question}}? Think."),)
    assert asking.prompts == "mine: zero-shot"


def test_few_shot_asks_each_example_as_the_question_is_asked(files):
    asking = Asking(files, "few-shot", 1)
    assert asking("c?") == (("user", "a? Think."), ("assistant", "One."), ("user", "c? Think."))
    assert asking.prompts == "mine: few-shot (1)"


def test_beside_examples_the_instruction_may_be_another_one(files, folder):
    folder(few_shot="Now: {{question}}")
    assert Asking(files, "few-shot", 1)("c?")[0] == ("user", "Now: a?")
    assert Asking(files)("c?") == (("user", "c? Think."),)


def test_a_completion_is_one_text(files):
    asking = Asking(files, "completion", 2)
    assert asking("c?") == (("user", f"{EXAMPLES}\n\n\nProblem: c?\nSolution:"),)
    assert asking.prompts == "mine: completion (2)"


def test_a_folder_without_an_instruction_is_told_when_it_is_needed(folder):
    files = PromptFiles(folder(examples=EXAMPLES).name, folder().parent)
    with pytest.raises(PromptError, match=r"mine.instruction\.txt"):
        Asking(files)("c?")
