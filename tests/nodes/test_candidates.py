"""Q* by several actions: how samples are dealt, and what becomes a step."""

from __future__ import annotations

import pytest

from langchain_qstar.errors import SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.qstar import create_qstar_graph
from langchain_qstar.settings import QStarSettings
from langchain_qstar.solution import Solution
from langchain_qstar.tasks import GSM8K, NANO

QUESTION = "A box holds 6 pens. Tom has 4 boxes. How many pens does Tom have?"
SCRIPT = {
    "": ["So 4*6=24.\n", "Q: How many?\n"],
    "Q:": [" How many are in a box?\n", " How many pens does Tom have?\n", " no end"],
    "Q: How many are in a box?\n": ["A: 6 pens.\n"],
    "Q: How many are in a box?\nA:": [" 6 pens.\n"],
    "Q: How many pens does Tom have?\nA:": [" Tom has 4*6=24.\n"],
    "Q: How many pens does Tom have?\nA: Tom has 4*6=24.\n": ["The answer is 24.\n"],
    "Rephrase:": [" 1) A box holds 6 pens. Question: How many?\n"],
    "So 4*6=24.\n": ["The answer is 24.\n"],
}


def search(policy, **settings) -> Solution:
    graph = create_qstar_graph(
        policy, task=NANO, settings=QStarSettings(max_pops=1, fallback=False, **settings)
    )
    result = graph.compile().invoke({"question": QUESTION, "seed": 3})
    return Solution.model_validate(result["solution"])


def drawn(solution: Solution) -> list[tuple[str, str]]:
    return [(each.action, each.text) for each in solution.tree if each.parent is not None]


def test_samples_are_dealt_to_the_actions_in_turn():
    policy = ScriptedPolicy(SCRIPT)
    search(policy, num_samples=6, actions=("propose_step", "subquestion", "finish", "rephrase"))

    asked = {(each.prefill, each.stop): len(each.seeds) for each in policy.calls[0]}
    assert asked == {("", ("\n",)): 2, ("Q:", ("\n",)): 2, ("", ()): 1, ("Rephrase:", ("\n",)): 1}
    seeds = [seed for each in (*policy.calls[0], *policy.calls[1]) for seed in each.seeds]
    assert len(set(seeds)) == len(seeds) == 8


def test_each_action_adds_its_steps_in_the_order_of_the_samples():
    solution = search(
        ScriptedPolicy(SCRIPT),
        num_samples=6,
        actions=("propose_step", "subquestion", "finish", "rephrase"),
    )

    assert drawn(solution) == [
        ("propose_step", "So 4*6=24.\n"),
        ("subquestion", "Q: How many are in a box?\nA: 6 pens.\n"),
        ("finish", "So 4*6=24.\nThe answer is 24.\n"),
        ("rephrase", "Rephrase: 1) A box holds 6 pens. Question: How many?\n"),
        ("subquestion", "Q: How many pens does Tom have?\nA: Tom has 4*6=24.\nThe answer is 24.\n"),
    ]
    assert (solution.usage.calls, solution.usage.completions) == (2, 8)


def test_the_answer_to_the_last_subquestion_ends_the_solution():
    solution = search(ScriptedPolicy(SCRIPT), num_samples=2, actions=("subquestion",))

    first, last = (each for each in solution.tree if each.parent is not None)
    assert (first.terminal, first.answer) == (False, None)
    assert (last.terminal, last.answer) == (True, "24")


def test_a_subquestion_that_does_not_end_is_no_step():
    solution = search(ScriptedPolicy(SCRIPT), num_samples=3, actions=("subquestion",))

    assert len(drawn(solution)) == 2
    assert (solution.usage.calls, solution.usage.completions) == (2, 5)


def test_a_rephrasing_comes_only_first():
    policy = ScriptedPolicy(SCRIPT)
    graph = create_qstar_graph(
        policy,
        task=NANO,
        settings=QStarSettings(num_samples=2, max_pops=3, actions=("propose_step", "rephrase")),
    )
    graph.compile().invoke({"question": QUESTION, "seed": 3})

    asked = [(each.state.text, each.prefill) for call in policy.calls for each in call]
    assert [text for text, prefill in asked if prefill] == [""]


def test_by_steps_alone_nothing_is_refused():
    solution = search(ScriptedPolicy({"": ["So 4*6=24.\n", "A: 6 pens.\n"]}), num_samples=2)
    assert len(drawn(solution)) == 2


def test_two_actions_that_find_out_the_same_make_one_step():
    script = SCRIPT | {"Q: How many are in a box?\nA:": [" 4*6=24.\n"]}
    actions = ("propose_step", "subquestion")
    solution = search(ScriptedPolicy(script), num_samples=2, actions=actions)

    (step,) = (each for each in solution.tree if each.parent is not None)
    assert (step.action, step.samples) == ("propose_step", 2)


@pytest.mark.parametrize(
    ("actions", "problem"),
    [
        (("propose_step", "re_answer"), "a Q\\* state is a concatenation"),
        (("finish", "finish"), "once"),
        (("rephrase",), "may follow every state"),
        ((), "may follow every state"),
        (("guess",), "setting actions"),
    ],
)
def test_actions_that_no_search_can_take_are_refused(actions, problem):
    with pytest.raises(SettingsError, match=problem):
        QStarSettings(actions=actions)


def test_an_action_that_the_task_cannot_ask_for_is_refused():
    with pytest.raises(SettingsError, match=r"task 'gsm8k' has no prefill .* 'subquestion'"):
        create_qstar_graph(
            ScriptedPolicy({}), task=GSM8K, settings=QStarSettings(actions=("subquestion",))
        )


@pytest.mark.nano
def test_nano_solves_by_subquestions_about_rephrasings():
    from langchain_qstar import QStarChain

    actions = ("subquestion", "rephrase")
    chain = QStarChain(settings={"actions": actions, "num_samples": 8, "max_pops": 4})
    solution = chain.invoke(QUESTION)

    assert solution.answer == "24"
    assert {each.action for each in solution.tree if each.parent == "0"} == set(actions)
    for each in solution.tree:
        assert each.text.startswith("Q:") == (each.action == "subquestion")
