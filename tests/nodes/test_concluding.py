from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from langchain_qstar.baselines import greedy
from langchain_qstar.driving import drive
from langchain_qstar.models.chat import ChatModelPolicy
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.models.scripted_chat import ScriptedChatModel
from langchain_qstar.nodes.concluding import (
    ANSWER_TOKENS,
    asking,
    conclude,
    concluded,
    is_unanswered,
)
from langchain_qstar.protocols import Completion, State, Step, Task
from langchain_qstar.tasks import GSM8K, NANO, TASKS

TASK = Task(
    name="plain",
    messages=lambda question: (("user", question),),
    answer=lambda text: "5" if "The answer is 5" in text else None,
    is_terminal=lambda text: "The answer is" in text,
    guess=lambda text: "5" if text.endswith("five") else None,
    answer_prefill="The answer is",
)
ROOT = State("What?", (("user", "What?"),))


def test_the_prompted_tasks_ask_and_nano_does_not():
    asks = {name: task.answer_prefill for name, task in TASKS.items()}
    assert asks.pop("nano") == ""
    assert set(asks.values()) == {"The answer is"}
    assert all(TASKS[name].is_terminal("So.\nThe answer is 5.\n") for name in asks)
    assert not is_unanswered("I am lost.", NANO)
    assert is_unanswered("I am lost.", GSM8K)


@pytest.mark.parametrize(
    ("text", "unanswered"),
    [("Done.", True), ("The answer is 5", False), ("It is five", False), (" \n", False)],
)
def test_who_has_a_marked_or_a_guessed_answer_or_said_nothing_is_not_asked(text, unanswered):
    assert is_unanswered(text, TASK) is unanswered


@pytest.mark.parametrize("text", ["Done.", "Done.\n"])
def test_the_line_begins_on_a_line_of_its_own(text):
    request = asking(ROOT.then(Step(text)), TASK, ScriptedPolicy({}), 7)
    assert request is not None
    assert (request.state.text, request.prefill) == ("Done.\n", "The answer is")
    assert (request.seeds, request.stop, request.temperature) == ((7,), ("\n",), 0.0)
    assert request.max_tokens == ANSWER_TOKENS


def test_a_model_whose_window_is_full_is_not_asked():
    state = ROOT.then(Step("word " * 40))
    assert asking(state, TASK, ScriptedPolicy({}, window=50), 7) is None


@pytest.mark.parametrize(("text", "joint"), [("Done.", "Done.\n"), ("Done.\n", "Done.\n")])
def test_the_line_joins_the_text_of_the_solution(text, joint):
    solution = Completion(text, (1, 2), (-0.1, -0.2), "eos", generated=3, prompt_tokens=9)
    line = Completion("The answer is 5.\n", (3,), (-0.5,), "stop", generated=1, prompt_tokens=12)
    whole = concluded(solution, line)
    assert whole.text == f"{joint}The answer is 5.\n"
    assert (whole.generated, whole.prompt_tokens) == (1, 12)
    # A new line has no id that the model drew.
    assert whole.token_ids == ((1, 2, 3) if text == joint else None)
    assert whole.logprobs == ((-0.1, -0.2, -0.5) if text == joint else ())


@pytest.mark.parametrize("line", [Completion("", finish="error"), Completion("", finish="eos")])
def test_a_line_that_failed_or_is_empty_changes_nothing(line):
    solution = Completion("Done.", finish="eos")
    assert concluded(solution, line) is solution


def test_solutions_that_say_the_same_are_asked_once():
    policy = ScriptedPolicy(lambda text: [" 5.\n"])
    said = [(ROOT, Completion(each, finish="eos")) for each in ("One.", "Two.", "One.")]
    whole, spent = drive(conclude(policy, TASK, 0, said), lambda call: call.run())
    assert [each.text for each in whole] == [
        f"{each}\nThe answer is 5.\n" for each in ("One.", "Two.", "One.")
    ]
    assert (spent["completions"], len(policy.calls)) == (2, 1)


def test_a_chat_model_is_asked_for_the_next_line_and_how_it_begins():
    def reply(messages: list[BaseMessage]) -> Any:
        asked = str(messages[-1].content)
        return "12" if "The answer is" in asked else "Three boxes of four.\nThat is all."

    model = ScriptedChatModel(reply)
    task = replace(TASK, answer=_twelve)
    solution = greedy("What?", policy=ChatModelPolicy(model), task=task)
    assert solution.text == "Three boxes of four.\nThat is all.\nThe answer is 12\n"
    assert (solution.answer, solution.samples[0].finish) == ("12", "eos")
    last = str(model.calls[-1][-1].content)
    assert "Three boxes of four.\nThat is all." in last
    assert last.endswith("Begin the line with: The answer is")


def _twelve(text: str) -> str | None:
    return "12" if "The answer is 12" in text else None


def test_a_model_that_has_nothing_to_add_has_ended_its_solution():
    from langchain_qstar import QStarChain

    said = {"": ["Kim has 7 boxes of 6 pens.\n"], "Kim has 7 boxes of 6 pens.\n": ["So 42 pens.\n"]}
    policy = ScriptedPolicy(lambda text: said.get(text, [""]))
    chain = QStarChain(policy, None, task="gsm8k", settings={"num_trajectories": 1})
    solution = chain.invoke("Kim has 7 boxes of 6 pens. How many pens?")
    assert (solution.answer, solution.guessed, solution.stopped) == ("42", True, "complete")
    assert [step.text for step in solution.steps][-1].strip() == ""
