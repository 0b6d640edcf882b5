"""What a step is, chosen with a chain."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar import GreedyChain, QStarChain, RStarChain, SelfConsistencyChain
from langchain_qstar.errors import SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy

QUESTION = "Kim has 3 boxes of 4 pens. How many pens?"
LINES = ["First the boxes:\n", "3 * 4 = 12\n", "The answer is 12.\n"]
TEXT = "".join(LINES)


def policy() -> ScriptedPolicy:
    return ScriptedPolicy(lambda text: [TEXT[len(text) :]] if TEXT.startswith(text) else [])


def steps_of(steps: Any, given: Any = None, **settings: Any) -> list[str]:
    settings = {"num_trajectories": 1, "num_samples": 1} | settings
    chain = QStarChain(
        given or policy(), q_model=None, task="gsm8k", settings=settings, steps=steps
    )
    return [step.text for step in chain.invoke(QUESTION).steps]


def test_by_default_a_step_holds_its_calculation():
    assert steps_of(None) == ["First the boxes:\n3 * 4 = 12\n", "The answer is 12.\n"]
    assert steps_of("calculation") == steps_of("thought") == steps_of(None)


def test_lines_are_the_steps_of_the_paper():
    assert steps_of("line") == LINES


def test_so_many_tokens_are_a_step_wherever_its_lines_end():
    # A word is a token of this policy.
    given = policy()
    assert steps_of(4, given) == ["First the boxes:\n3 ", "* 4 = 12\n", "The answer is 12.\n"]
    assert {each.max_tokens for batch in given.calls for each in batch if each.ends} == {4}


@pytest.mark.parametrize("steps", [None, "line", 24])
def test_baselines_cut_what_they_sampled_into_the_same_steps(steps):
    script = policy()
    greedy = GreedyChain(script, task="gsm8k", steps=steps).invoke(QUESTION)
    votes = SelfConsistencyChain(script, task="gsm8k", n=2, steps=steps).invoke(QUESTION)
    # A text does not tell its tokens: it is cut into lines.
    expected = steps_of(None) if steps is None else LINES
    assert [step.text for step in greedy.steps] == [step.text for step in votes.steps] == expected


@pytest.mark.parametrize("steps", [None, "line", 24])
def test_rstar_takes_the_same_forms(steps):
    silent = ScriptedPolicy({})
    RStarChain(silent, task="gsm8k", steps=steps).invoke(QUESTION)
    asked = [each for batch in silent.calls for each in batch if not each.whole]
    assert asked
    if steps == 24:
        assert min(each.max_tokens for each in asked) == 24


@pytest.mark.parametrize("chain", [QStarChain, RStarChain, GreedyChain, SelfConsistencyChain])
def test_another_form_is_one_clear_line(chain):
    with pytest.raises(SettingsError, match=r"^steps='sentence': choose thought, calculation"):
        chain(ScriptedPolicy({}), task="gsm8k", steps="sentence")
