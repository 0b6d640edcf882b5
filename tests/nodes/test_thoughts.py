"""Searching the thought with which a reasoning model begins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from langchain_qstar import QStarChain, QStarSettings, RolloutScorer
from langchain_qstar.errors import SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.nodes.thoughts import searched_by, thinking, thought_steps
from langchain_qstar.protocols import SampleRequest, State, Step
from langchain_qstar.stepping.solutions import solution_end
from langchain_qstar.stepping.thinking import CLOSED, with_thoughts
from langchain_qstar.tasks import GSM8K

QUESTION = "Kim has 3 boxes of 4 pens. How many pens?"
THOUGHT = [
    "<think>\nLet me guess 3.\n",
    "The answer is 9.\n",
    "No, 3 * 4 = 12.\n",
    "</think>\n\n",
]
SAID = ["Kim has 3 * 4 = 12 pens.\n", "The answer is 12.\n"]


def said(text: str, steps: Sequence[str]) -> list[str]:
    """The step after `text`, which is made of the steps before it; nothing after others."""
    places = {"".join(steps[:n]): [step] for n, step in enumerate(steps)}
    return places.get(text, [])


def follows(*steps: str) -> ScriptedPolicy:
    """Says the steps one after the other."""
    return ScriptedPolicy(lambda text: said(text, steps))


def searched(policy, **settings):
    given = {"thoughts": "searched", "num_samples": 1, "num_trajectories": 1} | settings
    return QStarChain(policy, q_model=None, task="gsm8k", settings=given)


def test_steps_of_a_thought_are_nodes_and_nothing_in_it_is_an_answer():
    solution = searched(follows(*THOUGHT, *SAID)).invoke(QUESTION)
    assert [each.text for each in solution.steps] == [*THOUGHT, *SAID]
    assert solution.answer == "12"
    assert [node.answer for node in solution.tree if node.answer] == ["12"]


def test_sync_and_async_search_the_same_tree():
    chain = searched(follows(*THOUGHT, *SAID))
    assert chain.task.thinks
    solution = asyncio.run(chain.ainvoke(QUESTION))
    assert solution.tree == chain.invoke(QUESTION).tree


def test_steps_of_a_thought_do_not_count_for_the_depth():
    at_two = searched(follows(*THOUGHT, *SAID), max_depth=2).invoke(QUESTION)
    assert at_two.answer == "12"
    at_one = searched(follows(*THOUGHT, *SAID, "So.\n"), max_depth=1, fallback=False)
    assert [node.text for node in at_one.invoke(QUESTION).tree][-1] == SAID[0]


def test_a_thought_that_used_up_its_tokens_is_closed_so_that_the_model_answers():
    def script(text: str) -> list[str]:
        if "</think>" not in text:
            return [f"Maybe {text.count('Maybe')} pens.\n"]
        return [SAID[0] if text.endswith(CLOSED) else SAID[1]]

    solution = searched(ScriptedPolicy(script), max_thought_tokens=9).invoke(QUESTION)
    # A line has three words, and a word is a token.
    assert [each.text for each in solution.steps] == [
        "Maybe 0 pens.\n",
        "Maybe 1 pens.\n",
        "Maybe 2 pens.\n",
        CLOSED + SAID[0],
        SAID[1],
    ]
    assert solution.answer == "12"


def test_a_model_that_ends_within_its_thought_has_no_answer_and_is_not_asked_for_one():
    policy = follows("<think>\nThe answer is 9.\n", "Hm")
    solution = searched(policy, fallback=False).invoke(QUESTION)
    assert solution.answer is None
    assert all(each.prefill != "The answer is" for batch in policy.calls for each in batch)


def test_a_search_that_ends_within_a_thought_closes_it_to_complete_it():
    def script(text: str) -> list[str]:
        return [SAID[1]] if text.endswith(CLOSED) else [f"Maybe {text.count('Maybe')} pens.\n"]

    solution = searched(ScriptedPolicy(script), max_pops=2).invoke(QUESTION)
    assert (solution.answer, solution.stopped) == ("12", "pops")


def test_who_is_asked_for_the_answer_has_its_thought_before_it():
    thought = "".join(THOUGHT)
    rest = {
        thought: ["Kim has many."],
        f"{thought}Kim has many.\nThe answer is": [" 12.\n"],
    }
    policy = ScriptedPolicy(lambda text: rest.get(text) or said(text, THOUGHT))
    solution = searched(policy).invoke(QUESTION)
    (asked,) = [e for batch in policy.calls for e in batch if e.prefill == "The answer is"]
    assert asked.thinks
    assert asked.state.text == f"{thought}Kim has many.\n"
    assert solution.answer == "12"


def test_rollouts_go_on_with_the_thought_that_they_begin_in():
    task = with_thoughts(GSM8K)
    policy = follows(*THOUGHT, *SAID)
    scorer = RolloutScorer(policy, task, n=2)
    chain = QStarChain(
        policy, q_model=scorer, task=task, settings={"thoughts": "searched", "num_samples": 1}
    )
    solution = chain.invoke(QUESTION)
    assert solution.answer == "12"
    assert all(each.q == 1.0 for each in solution.steps)
    assert all(each.thinks for batch in policy.calls for each in batch)


def test_by_default_thoughts_are_not_asked_for():
    policy = follows(*SAID)
    QStarChain(policy, q_model=None, task="gsm8k").invoke(QUESTION)
    assert not any(each.thinks for batch in policy.calls for each in batch)


def test_a_policy_that_keeps_thoughts_apart_cannot_have_them_searched():
    class Apart(ScriptedPolicy):
        shows_thoughts = False

    settings = QStarSettings(thoughts="searched")
    with pytest.raises(SettingsError, match=r"^thoughts='searched': scripted does not write"):
        searched(Apart({}))
    with pytest.raises(SettingsError, match="use a local model, or thoughts='apart'"):
        searched_by(settings, GSM8K, Apart({}))
    assert searched_by(QStarSettings(), GSM8K, Apart({})) is GSM8K


def test_a_task_whose_thoughts_are_searched_is_not_made_so_twice():
    task = with_thoughts(GSM8K)
    assert searched_by(QStarSettings(thoughts="searched"), task, ScriptedPolicy({})) is task


def test_a_whole_solution_asked_for_after_a_closed_thought_ends_with_its_answer():
    task = with_thoughts(GSM8K)
    state = State(QUESTION, (), (Step("<think>\nLet me guess 3 pens.\n"),))
    request = SampleRequest(state, (0,), (), ends=solution_end(task, state.text))
    settings = QStarSettings(thoughts="searched", max_thought_tokens=1)
    closed = thinking(request, settings, ScriptedPolicy({}))
    text = CLOSED + "The answer is 12.\n"
    assert closed.prefill == CLOSED
    assert closed.end_in(text + "More.\n") == len(text)


@pytest.mark.parametrize(
    ("texts", "count"), [((), 1), (("a", "b"), 3), (("a", "b</think>\n", "c"), 2)]
)
def test_the_steps_of_a_thought_are_those_up_to_its_end(texts, count):
    path: list[Any] = [{"text": each} for each in texts]
    assert thought_steps(path, QStarSettings(thoughts="searched")) == count
    assert thought_steps(path, QStarSettings()) == 0


def test_thoughts_that_are_searched_are_not_completed_by_a_second_model():
    settings = QStarSettings(thoughts="searched", verify="after")
    with pytest.raises(SettingsError, match="thoughts='apart'"):
        searched_by(settings, GSM8K, ScriptedPolicy({}))
