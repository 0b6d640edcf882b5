from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_qstar.actions import Trace
from langchain_qstar.errors import PromptError, SettingsError
from langchain_qstar.tasks import (
    CHOICE,
    GSM8K,
    NANO,
    STRATEGYQA,
    SVAMP,
    fit_rstar_task,
    fit_task,
)

EXAMPLES = "Problem: a?\nSolution:\nOne.\n\n\nProblem: b?\nSolution:\nTwo."
OWN = replace(GSM8K, messages=lambda question: (("user", question),), forms=None)
SHAPES = {
    "steps": "Do.\n\n\nProblem: a?\nSteps:\nStep 1: One.\n\n\nProblem: {{question}}\nSteps:",
    "solution": "Do.\n\n\nProblem: a?\nSolution:\nOne.\n\n\nProblem: {{question}}\nSolution:",
    "subquestions": "Do.\n\n\nProblem: a?\nQuestion 1: b?\n\n\nProblem: {{question}}",
    "rephrasing": "Do.\n\n\nProblem: a?\nConditions: 1) b.\n\n\nProblem: {{question}}",
}


def roles(task):
    return [role for role, _ in task.messages("Why?")]


def test_a_model_that_answers_chats_is_asked_by_the_instruction(chat):
    task = fit_task(GSM8K, chat)
    assert task.prompts == "zero-shot"
    assert task.messages("Why?") == GSM8K.messages("Why?")
    assert fit_task(GSM8K, chat, shots=0).prompts == "zero-shot"


def test_with_shots_it_is_shown_examples_as_earlier_turns(chat):
    task = fit_task(SVAMP, chat, shots=2)
    assert task.prompts == "few-shot (2)"
    assert roles(task) == ["user", "assistant", "user", "assistant", "user"]
    assert fit_task(SVAMP, chat, prompts="few-shot").prompts == "few-shot (5)"


@pytest.mark.parametrize(
    ("task", "prompts", "label"),
    [(GSM8K, "completion (8)", "Solution:"), (STRATEGYQA, "completion (5)", "Answer:")],
)
def test_a_model_without_chat_training_is_given_a_text_to_go_on_with(base, task, prompts, label):
    fitted = fit_task(task, base)
    assert fitted.prompts == prompts
    ((role, text),) = fitted.messages("Why?")
    assert role == "user"
    assert text.endswith(f": Why?\n{label}")
    assert fit_task(task, base, shots=0).prompts == "completion (0)"
    assert fit_task(task, base, shots=1).prompts == "completion (1)"


@pytest.mark.parametrize("prompts", ["zero-shot", "few-shot", "completion"])
def test_any_style_may_be_had_of_any_model(chat, base, prompts):
    for policy in (chat, base):
        assert fit_task(GSM8K, policy, prompts=prompts).prompts.startswith(prompts)


def test_a_task_that_was_fitted_stays_so_unless_it_is_told_otherwise(chat, base):
    fitted = fit_task(GSM8K, base, shots=2)
    assert fit_task(fitted, chat) is fitted
    assert fit_task(fitted, chat, shots=1).prompts == "few-shot (1)"
    assert fit_task(fitted, chat, prompts="zero-shot").prompts == "zero-shot"


@pytest.mark.parametrize("task", [NANO, OWN], ids=["nano", "own"])
def test_a_task_with_messages_of_its_own_is_left_alone(chat, base, task):
    assert fit_task(task, chat) is task
    assert fit_task(task, base) is task
    assert task.prompts == ""
    for told in ({"prompts": "few-shot"}, {"shots": 2}):
        with pytest.raises(SettingsError, match="has messages of its own"):
            fit_task(task, base, **told)


def test_a_folder_of_ones_own_serves_any_task(chat, base, folder):
    mine = folder(instruction="{{question}} Think.", examples=EXAMPLES)
    for task in (OWN, GSM8K, NANO):
        assert fit_task(task, chat, prompts=str(mine)).prompts == "mine: few-shot (2)"
        assert fit_task(task, base, prompts=mine).prompts == "mine: completion (2)"
    assert fit_task(OWN, chat, prompts=mine, shots=0).messages("c?") == (("user", "c? Think."),)
    assert fit_task(OWN, base, prompts=mine, shots=1).prompts == "mine: completion (1)"


def test_a_folder_without_examples_asks_any_model_by_its_instruction(chat, base, folder):
    mine = folder(instruction="{{question}} Think.")
    for policy in (chat, base):
        assert fit_task(OWN, policy, prompts=mine).prompts == "mine: zero-shot"
    with pytest.raises(SettingsError, match="the prompts mine have 0 examples"):
        fit_task(OWN, chat, prompts=mine, shots=1)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"prompts": "few-shot", "shots": 0}, "few-shot without an example is zero-shot"),
        ({"prompts": "zero-shot", "shots": 3}, "zero-shot with shots=3: choose few-shot"),
        ({"shots": 9}, "shots=9: the task gsm8k has 8 examples"),
        ({"shots": -1}, "shots=-1: give the number of examples"),
        ({"shots": True}, "shots=True: give the number of examples"),
        ({"shots": "2"}, "shots='2': give the number of examples"),
        ({"prompts": "fewshot"}, "prompts='fewshot': choose auto, zero-shot, few-shot"),
        ({"prompts": ""}, "prompts='': choose auto"),
        ({"prompts": None}, "prompts='None': choose auto"),
        ({"prompts": "x" * 5000}, "choose auto"),
    ],
)
def test_a_contradiction_is_one_line(chat, told, says):
    with pytest.raises(SettingsError, match=says) as caught:
        fit_task(GSM8K, chat, **told)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, r"mine.instruction\.txt"),
        ({"instruction": "Think."}, r"no hole \{\{question\}\}"),
        ({"instruction": "{{question}}", "examples": "a"}, "example 1 is not written as"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told_at_once(chat, folder, files, says):
    with pytest.raises(PromptError, match=says) as caught:
        fit_task(GSM8K, chat, prompts=folder(**files))
    assert "\n" not in str(caught.value)


class TestRStar:
    def shown(self, task):
        return task.forms.opening("propose_step", Trace("Why?")).state.messages

    def test_a_model_that_answers_chats_sees_the_examples_as_earlier_turns(self, chat):
        task = fit_rstar_task(GSM8K, chat)
        messages = self.shown(task)
        assert [role for role, _ in messages] == [*("user", "assistant") * 3, "user"]
        assert messages[0][1].startswith("Solve the last problem as the others are solved:")
        assert messages[0][1].endswith("\n\nProblem: " + messages[0][1].partition("Problem: ")[2])
        assert messages[1][1].startswith("Step 1: She keeps 7 - 5 = 2 bunches.\n")
        assert messages[-1] == ("user", "Problem: Why?\nSteps:")
        assert task.forms.prompts == "few-shot (3)"

    def test_others_see_them_in_one_text_that_says_the_same(self, base, chat):
        text, turns = (self.shown(fit_rstar_task(GSM8K, each)) for each in (base, chat))
        assert text == self.shown(GSM8K)
        assert " ".join(text[0][1].split()) == " ".join(
            " ".join(content for _, content in turns).split()
        )

    @pytest.mark.parametrize("shots", [1, 2, 3])
    def test_shots_limit_them(self, chat, base, shots):
        task = fit_rstar_task(CHOICE, chat, shots=shots)
        assert len(self.shown(task)) == 2 * shots + 1
        ((_, text),) = self.shown(fit_rstar_task(CHOICE, base, shots=shots))
        assert text.count("Problem: ") == shots + 1
        assert text.startswith("Answer the last question as the others are answered")

    def test_the_style_may_be_chosen(self, chat, base):
        assert fit_rstar_task(GSM8K, chat, prompts="completion").forms.prompts == "completion (3)"
        assert fit_rstar_task(GSM8K, base, prompts="few-shot").forms.prompts == "few-shot (3)"

    def test_a_task_that_was_fitted_stays_so(self, chat, base):
        fitted = fit_rstar_task(GSM8K, base)
        assert fit_rstar_task(fitted, chat) is fitted

    @pytest.mark.parametrize(
        ("told", "says"),
        [
            ({"prompts": "zero-shot"}, "rStar shows its actions by examples"),
            ({"shots": 0}, "rStar shows its actions by examples"),
            ({"shots": 4}, "rStar's prompts for gsm8k have 3 examples"),
        ],
    )
    def test_without_examples_its_actions_cannot_be_shown(self, chat, told, says):
        with pytest.raises(SettingsError, match=says):
            fit_rstar_task(GSM8K, chat, **told)

    def test_a_folder_has_a_file_for_each_action(self, chat, folder):
        mine = folder("shapes", **SHAPES)
        task = fit_rstar_task(GSM8K, chat, prompts=mine)
        assert task.forms.prompts == "shapes: few-shot (1)"
        assert self.shown(task) == (
            ("user", "Do.\n\nProblem: a?\nSteps:"),
            ("assistant", "Step 1: One."),
            ("user", "Problem: Why?\nSteps:"),
        )
        asked = task.forms.opening("subquestion", Trace("Why?")).state.messages
        assert asked[:2] == (("user", "Do.\n\nProblem: a?"), ("assistant", "Question 1: b?"))
        assert task.prompts == "zero-shot"
        with pytest.raises(PromptError, match=r"other.steps\.txt"):
            fit_rstar_task(GSM8K, chat, prompts=folder("other", instruction="{{question}}"))

    def test_a_task_that_acts_by_its_messages_is_fitted_by_these(self, chat, folder):
        mine = folder(instruction="{{question}} Think.")
        assert fit_rstar_task(OWN, chat) is OWN
        assert fit_rstar_task(OWN, chat, prompts=mine).prompts == "mine: zero-shot"
