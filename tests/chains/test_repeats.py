"""Models that loop: a path that says again what it has said ends there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from langchain_qstar import QStarChain, RStarChain
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.stepping.repeats import REASON
from langchain_qstar.tasks import GSM8K

TASK = replace(GSM8K, forms=None)
"""As it stands, without rStar's own words for each action, so that one script does for both."""

QUESTION = "Kim has 3 boxes of 4 pens. How many pens?"
FIRST = "Kim has 3 boxes of 4 pens.\n"
AGAIN = "Step 2: Kim has 3 boxes of 4 pens.\n"
SHORT = "3 * 4 = 12\n"


def chain_of(method, script):
    policy = ScriptedPolicy(script)
    if method == "qstar":
        settings = {"num_samples": 2, "num_trajectories": 1, "max_pops": 8, "fallback": False}
        return QStarChain(policy, q_model=None, task=TASK, settings=settings)
    counts = {"num_steps": 2, "num_rollouts": 4, "max_depth": 4}
    return RStarChain(policy, task=TASK, settings={"actions": ["propose_step"], **counts})


@pytest.mark.parametrize("method", ["qstar", "rstar"])
def test_a_path_that_repeats_a_step_is_closed_with_its_reason(method):
    said = {"": [FIRST], FIRST: [AGAIN, SHORT], FIRST + SHORT: ["The answer is 12.\n"]}
    solution = chain_of(method, lambda text: said.get(text, [])).invoke(QUESTION)
    closed = {node.text: node.closed for node in solution.tree}
    assert closed[AGAIN] == REASON
    assert closed[SHORT] is None
    assert solution.answer == "12"
    repeated = {node.id for node in solution.tree if node.text == AGAIN}
    assert not [node for node in solution.tree if node.parent in repeated]
    assert REASON in solution._repr_html_()


@pytest.mark.parametrize("method", ["qstar", "rstar"])
def test_short_equations_and_answers_may_be_said_twice(method):
    def script(text):
        return ["The answer is 12.\n"] if text.count(SHORT) == 2 else [SHORT]

    solution = chain_of(method, script).invoke(QUESTION)
    assert [step.text for step in solution.steps] == [SHORT, SHORT, "The answer is 12.\n"]
    assert not [node for node in solution.tree if node.closed == REASON]
