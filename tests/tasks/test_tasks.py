from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar.errors import InputError, SettingsError
from langchain_qstar.tasks import (
    CHOICE,
    GSM8K,
    GSM_HARD,
    MATH,
    MULTIARITH,
    NANO,
    STRATEGYQA,
    SVAMP,
    TASKS,
    get_task,
)


def test_a_name_or_a_task_gives_the_task():
    assert get_task("nano") is NANO
    assert get_task("gsm8k") is GSM8K
    assert get_task(NANO) is NANO


@pytest.mark.parametrize("task", ["chess", 3, ["nano"]])
def test_what_is_no_task_lists_the_known_ones(task: Any):
    with pytest.raises(SettingsError, match="choose one of: nano, gsm8k, svamp"):
        get_task(task)


def test_nano_is_asked_the_question_itself():
    assert NANO.messages("How many {{question}}?") == (("user", "How many {{question}}?"),)


NUMERIC = {task.name: task for task in (NANO, GSM8K, SVAMP, MULTIARITH, GSM_HARD)}


@pytest.mark.parametrize("task", NUMERIC.values(), ids=NUMERIC)
@pytest.mark.parametrize(
    ("text", "terminal", "answer"),
    [
        ("Tom has 4*6=24.\nThe answer is 1,024.50 dollars.\n", True, "1024.5"),
        ("The answer is 30.0", True, "30"),
        ("The answer is $-7.\n", True, "-7"),
        ("The answer is unknown.\n", True, None),
        ("Tom has 4*6=24.\n", False, None),
        ("The answers are 3.\n", False, None),
        ("", False, None),
    ],
)
def test_a_solution_ends_with_its_answer_line(task, text, terminal, answer):
    assert task.is_terminal(text) is terminal
    assert task.answer(text) == answer


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_task_asks_and_ends_and_says_when_there_is_no_answer(task):
    messages = task.messages("How many {{question}}?")
    assert messages[-1][0] == "user"
    assert messages[-1][1].startswith("How many {{question}}?")
    assert task.is_terminal("So it is.\nThe answer is (B): yes, 5.\n")
    assert not task.is_terminal("So it is.\n")
    assert task.answer("The answer is\n") is None


@pytest.mark.parametrize(
    ("task", "text", "read"),
    [
        (GSM8K, "It was 22.\nThe answer is 19.", ("19", False)),
        (GSM8K, "It was 22.\nThe total now is $19.", ("19", True)),
        (GSM8K, "It was 22 and is 19.", (None, False)),
        (MATH, "So it is $x = 5$.", ("x = 5", True)),
        (STRATEGYQA, "It snows.\nNo, it is cold.", ("no", True)),
        (CHOICE, "It must be (B).", ("B", True)),
        (NANO, "The total now is 19.", (None, False)),
    ],
)
def test_an_ended_text_is_read_by_its_marker_or_else_guessed(task, text, read):
    assert task.read(text) == read


@pytest.mark.parametrize(
    ("task", "written", "gold"),
    [
        (NANO, "3*4=12\n#### 12", "12"),
        (GSM8K, "3*4=12\n#### 1,012", "1012"),
        (MATH, r"So it is \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (STRATEGYQA, "True", "yes"),
        (CHOICE, "(b)", "B"),
    ],
)
def test_a_gold_answer_is_read_by_its_task(task, written, gold):
    assert task.gold(written) == gold
    assert task.right_answer(written) == gold


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_gold_answer_that_cannot_be_read_is_refused(task):
    with pytest.raises(InputError, match=f"the task {task.name} cannot read the gold answer"):
        task.right_answer(" ")


def test_every_task_names_a_prompt_of_its_own():
    asked = {task.messages("Q")[-1][1] for task in TASKS.values()}
    assert len(asked) == len(TASKS)


def test_math_answers_are_boxed_latex():
    solution = "$x^2 = 2$\nThe answer is $\\boxed{\\sqrt{2}}$.\n"
    assert MATH.is_terminal(solution)
    assert MATH.answer(solution) == r"\sqrt{2}"
    assert MATH.equivalent(r"\frac{1}{2}", "0.5")
    assert [check.__name__ for check in MATH.checks] == ["arithmetic", "symbolic"]


def test_strategyqa_answers_are_yes_or_no():
    solution = "Snow is cold.\nThe answer is no.\n"
    assert STRATEGYQA.is_terminal(solution)
    assert STRATEGYQA.answer(solution) == "no"
    assert STRATEGYQA.equivalent("no", "False")
    assert STRATEGYQA.checks == ()


def test_choices_are_letters():
    assert CHOICE.answer("2+2=4\nThe answer is (B).\n") == "B"
    assert CHOICE.equivalent("B", "(b)")


def test_gsm_hard_accepts_the_noise_of_floats():
    assert GSM_HARD.equivalent("0.3335", "0.3333")
    assert not GSM_HARD.equivalent("0.335", "0.333")
    assert not GSM8K.equivalent("0.3335", "0.3333")


def test_nano_reads_the_line_that_ended_the_solution():
    assert NANO.answer("The answer is 3.\nThe answer is 4.\n") == "3"


def test_nano_does_not_end_in_the_middle_of_a_line():
    assert not NANO.is_terminal("I think The answer is 3.\n")


@pytest.mark.parametrize(
    "line",
    ["**The answer is 5.**", "So the final answer is 5", "Answer: 5", "#### 5", r"\boxed{5}"],
)
def test_gsm8k_accepts_the_forms_models_use(line):
    assert GSM8K.is_terminal("2+3=5\n" + line)
    assert GSM8K.answer("2+3=5\n" + line) == "5"


@pytest.mark.parametrize("task", NUMERIC.values(), ids=NUMERIC)
def test_answers_are_compared_by_value(task):
    assert task.equivalent("30", "30.0")
    assert not task.equivalent("30", "31")


def test_nano_knows_the_openings_of_its_actions():
    assert NANO.prefills == {"subquestion": "Q:", "re_answer": "A:", "rephrase": "Rephrase:"}


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("So Tom has 3*6=18 apples.\n", "Tom has 6*3=10+8=18 apples.\n"),
        (
            "Q: How many has Tom?\nA: Tom has 3*6=18 apples.\n",
            "Tom has 3*6=18 apples.\n",
        ),
        ("Rephrase: 1) Tom has 3 bags. Question: How many?\n", ""),
        ("74-58=74-50-8=24-8=16 dollars are left.\n", "74-58=16 dollars are left.\n"),
    ],
)
def test_states_that_found_out_the_same_are_one_state(text: str, same: str) -> None:
    assert NANO.canonical(text) == NANO.canonical(same)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Tom has 3*6=18 apples.\n", "Ann has 3*6=18 apples.\n"),
        ("Tom has 3*6=18 apples.\n", "Tom has 3*6=19 apples.\n"),
        ("The answer is 18.\n", "The answer is 8.\n"),
        ("Tom has 18 apples.\n", "Tom has 18 apples.\nThe answer is 18.\n"),
    ],
)
def test_states_that_found_out_something_else_stay_apart(text: str, other: str) -> None:
    assert NANO.canonical(text) != NANO.canonical(other)
