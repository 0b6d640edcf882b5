"""The worked examples of our own prompts must be right, for models copy what they see."""

from __future__ import annotations

import re

import pytest

from langchain_qstar.actions import Thought, Trace, is_last_subquestion
from langchain_qstar.checks.arithmetic import arithmetic
from langchain_qstar.prompting import load_prompt
from langchain_qstar.protocols import BLANK_LINES, State, Step
from langchain_qstar.tasks import CHOICE, GSM8K, GSM_HARD, MATH, MULTIARITH, STRATEGYQA, SVAMP

FAMILIES = {
    "word_problems": GSM8K,
    "mathematics": MATH,
    "yes_no": STRATEGYQA,
    "choice": CHOICE,
}
family = pytest.mark.parametrize(("folder", "task"), FAMILIES.items(), ids=FAMILIES)


def examples(folder: str, name: str) -> list[tuple[str, list[str]]]:
    """The worked examples of a file: problem, and the lines after it."""
    text = load_prompt(f"rstar/{folder}/{name}", {"question"}).text
    _, *worked, last = text.split(BLANK_LINES)
    assert re.fullmatch(r"Problem: \{\{question\}\}(\n(Steps|Solution):)?", last)
    found = [each.split("\n") for each in worked]
    assert all(lines[0].startswith("Problem: ") for lines in found)
    return [(lines[0].removeprefix("Problem: "), lines[1:]) for lines in found]


@family
@pytest.mark.parametrize("name", ["solution", "steps", "subquestions"])
def test_every_example_states_an_answer_and_all_files_the_same(folder, task, name):
    for problem, lines in examples(folder, name):
        written = lines[-1:] if name == "subquestions" else lines  # each answer is alone
        answer = task.answer(task.forms.statement(Thought("finish", Step("\n".join(written)))))
        solved = dict(examples(folder, "solution"))
        assert answer is not None
        assert task.answer("\n".join(solved[problem])) == answer


@family
def test_every_step_of_an_example_is_right_and_numbered(folder, task):
    for _, (heading, *lines) in examples(folder, "steps"):
        assert heading == "Steps:"
        for number, line in enumerate(lines, 1):
            assert line.startswith(f"Step {number}: ")
            judged = arithmetic(State(""), line)
            assert judged[0] is not False
            terminal = task.is_terminal(task.forms.statement(Thought("propose_step", Step(line))))
            assert terminal == (number == len(lines))


@family
def test_the_examples_are_written_as_the_forms_write(folder, task):
    for problem, lines in examples(folder, "subquestions"):
        thoughts = tuple(
            Thought("subquestion", Step(answer), Step(question))
            for question, answer in zip(lines[::2], lines[1::2], strict=True)
        )
        shown = task.forms.opening("subquestion", Trace(problem, thoughts=thoughts)).state.text
        assert shown == "".join(f"{line}\n" for line in lines)
        ends = [is_last_subquestion("", each) for each in lines[::2]]
        assert ends == [False] * (len(ends) - 1) + [True]


@family
def test_the_rephrasings_are_read(folder, task):
    for _, (line,) in examples(folder, "rephrasing"):
        assert task.forms.reads("rephrase", line)


@pytest.mark.parametrize("task", [GSM8K, SVAMP, MULTIARITH, GSM_HARD, MATH, STRATEGYQA, CHOICE])
def test_every_prompted_task_asks_each_action_with_its_own_prompt(task):
    subquestion = Thought("subquestion", Step("7"), Step("How many?"))
    trace = Trace("It is so. What is {{question}} now?", thoughts=(subquestion,))
    asked = [task.forms.opening(action, trace).state.messages for action in task.forms.actions]
    assert len(set(asked)) == 5
    assert all(role == "user" for ((role, _),) in asked)
