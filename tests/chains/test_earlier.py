"""A thread that remembers: the same question goes on in its tree, another knows what was said."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from langchain_qstar.chains import QStarChain, RStarChain
from langchain_qstar.errors import ThreadError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Task
from langchain_qstar.solution import Solution

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}
TASK = Task(
    name="letters",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.split()[-1] if text.split() else None,
    is_terminal=lambda text: any(character.isdigit() for character in text),
    step_tokens=5,
    solution_tokens=40,
)


def steps(text: str) -> list[str]:
    """Six steps a state; those three levels down end a solution."""
    level = text.count("\n")
    return [f"{text[-2:-1]}{letter}{'7' * (level == 3)}\n" for letter in "abcdef"]


def qstar(saver: Any = None, policy: Any = None, **settings: Any) -> QStarChain:
    given = {
        "num_trajectories": 40,
        "num_samples": 3,
        "max_pops": 30,
        "fallback": False,
        "remember_thread": True,
        **settings,
    }
    scorer = ScriptedScorer(lambda text: sum(map(ord, text)) % 7 / 7)
    policy = policy or ScriptedPolicy(steps)
    return QStarChain(policy, scorer, task=TASK, settings=given, checkpointer=saver)


def rstar(saver: Any = None, policy: Any = None, **settings: Any) -> RStarChain:
    given: Any = {
        "actions": ("propose_step", "finish"),
        "num_rollouts": 9,
        "num_last_votes": 2,
        "remember_thread": True,
        **settings,
    }
    policy = policy or ScriptedPolicy(steps)
    return RStarChain(policy, task=TASK, settings=given, checkpointer=saver)


CHAINS = {"qstar": qstar, "rstar": rstar}
SMALLER: dict[str, dict[str, Any]] = {"qstar": {"max_pops": 9}, "rstar": {"num_rollouts": 3}}


@pytest.fixture(params=CHAINS)
def name(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def make(name: str) -> Any:
    return CHAINS[name]


def asked_of(policy: ScriptedPolicy) -> list[Any]:
    return [each for batch in policy.calls for each in batch]


def found(solution: Solution) -> Any:
    return solution.tree, solution.answer, solution.votes, solution.stopped, solution.usage


# --- the same question


@pytest.mark.parametrize(
    "budget",
    [{}, {"max_completions": 12}, {"max_completions": 14}, {"max_tokens": 17}, {"max_nodes": 14}],
)
async def test_the_same_question_with_a_larger_budget_ends_as_one_search_would_have(
    make: Any, name: str, budget: Any, saver: Any
):
    small = budget or SMALLER[name]
    # By seed, for a budget decides how many samples are asked for together.
    policy = ScriptedPolicy(steps, by_seed=True)
    chain = make(saver, policy, verify="never")
    first = chain.invoke("q", THREAD, **small)
    before = len(asked_of(policy))
    second = chain.invoke("q", THREAD)
    whole = ScriptedPolicy(steps, by_seed=True)
    expected = make(None, whole, verify="never").invoke("q")
    assert found(second)[:-1] == found(expected)[:-1]
    assert len(first.tree) < len(second.tree)
    assert second.tree[: len(first.tree)][0].id == "0"
    # Only what the smaller budget cut short is asked for, and paid for, again.
    again = second.usage.completions - expected.usage.completions
    assert 0 <= again <= 5
    assert 0 < before < len(asked_of(policy))
    calls = len(policy.calls)
    assert found(chain.invoke("q", THREAD)) == found(second)
    assert len(policy.calls) == calls


async def test_async_goes_on_too(make: Any, name: str):
    policy = ScriptedPolicy(steps)
    chain = make(InMemorySaver(), policy)
    await chain.ainvoke("q", THREAD, **SMALLER[name])
    second = await chain.ainvoke("q", THREAD)
    assert second.tree == make().invoke("q").tree


def test_with_a_smaller_budget_there_is_the_tree_that_there_is(make: Any, name: str):
    policy = ScriptedPolicy(steps)
    chain = make(InMemorySaver(), policy)
    first = chain.invoke("q", THREAD)
    calls = len(policy.calls)
    again = chain.invoke("q", THREAD, **SMALLER[name])
    assert (again.tree, again.answer) == (first.tree, first.answer)
    assert again.settings != first.settings
    assert len(policy.calls) == calls


def test_another_seed_or_setting_begins_a_tree_of_its_own(make: Any):
    chain = make(saver := InMemorySaver())
    first = chain.invoke("q", THREAD)
    other = chain.invoke("q", THREAD, seed=1)
    assert (other.turns[0].question, other.seed) == ("q", 1)
    deeper = make(saver, max_depth=3).invoke("q", THREAD)
    assert [turn.question for turn in deeper.turns] == ["q", "q"]
    assert first.turns == ()


def test_more_trajectories_are_collected_in_the_tree_that_is_there():
    saver, policy = InMemorySaver(), ScriptedPolicy(steps)
    first = qstar(saver, policy, num_trajectories=1).invoke("q", THREAD)
    calls = len(policy.calls)
    second = qstar(saver, policy, num_trajectories=3).invoke("q", THREAD)
    assert (first.stopped, second.stopped) == ("complete", "complete")
    assert found(second) == found(qstar(num_trajectories=3).invoke("q"))
    assert calls < len(policy.calls) < 2 * calls + 30


def test_a_completion_of_an_earlier_end_is_a_complete_state_of_the_later_search():
    def late(text: str) -> list[str]:
        return ["7\n"] if text.count("\n") >= 6 else [f"{text[-2:-1]}a\n", f"{text[-2:-1]}b\n"]

    policy = ScriptedPolicy(late)
    chain = qstar(InMemorySaver(), policy, fallback=True, num_trajectories=1)
    first = chain.invoke("q", THREAD, max_pops=3)
    assert (first.tree[-1].action, first.answer) == ("finish", "7")
    second = chain.invoke("q", THREAD, max_pops=30)
    assert (second.stopped, second.answer) == ("complete", "7")
    assert Solution.model_validate_json(second.model_dump_json()) == second


def test_a_verified_search_goes_on_and_verifies_what_is_new():
    saver = InMemorySaver()
    policy = ScriptedPolicy(steps)
    chain = rstar(saver, policy)
    first = chain.invoke("q", THREAD, num_rollouts=3, seed=1)
    second = chain.invoke("q", THREAD, seed=1)
    known = [each.id for each in first.tree if each.completed is not None]
    assert known
    assert {each.id for each in second.tree if each.completed is not None} > {*known}


@pytest.mark.parametrize("question", ["q", "r"])
def test_killed_at_any_moment_the_second_call_ends_as_it_would_have(
    make: Any, name: str, question: str, mortal_store: Any
):
    small = SMALLER[name]
    chain = make(InMemorySaver())
    chain.invoke("q", THREAD, **small)
    whole = chain.invoke(question, THREAD)
    dies_at, survived = 0, False
    while not survived:
        dies_at += 2 if dies_at < 10 else 37  # around the root, and now and then
        saver = mortal_store()
        chain = make(saver)
        chain.invoke("q", THREAD, **small)
        saver.left = dies_at
        dying = make(saver)
        try:
            survived = bool(dying.invoke(question, THREAD))
        except saver.killed:
            saver.left = 10**9
            again = make(saver).invoke(question, THREAD)
            assert (again.tree, again.answer, again.turns) == (
                whole.tree,
                whole.answer,
                whole.turns,
            )
    assert dies_at > 12


def test_an_unfinished_search_is_not_replaced_by_a_larger_one(make: Any, mortal_store: Any):
    saver = mortal_store(12)
    with pytest.raises(saver.killed):
        make(saver).invoke("q", THREAD)
    saver.left = 10**9
    with pytest.raises(ThreadError, match=r"unfinished search with max_tokens=\d+"):
        make(saver).invoke("q", THREAD, max_tokens=900)


def test_the_budget_of_a_thread_counts_what_the_search_has_spent_once():
    chain = qstar(InMemorySaver(), max_thread_completions=30)
    first = chain.invoke("q", THREAD, max_completions=9)
    second = chain.invoke("q", THREAD)
    assert (first.usage.completions, second.usage.completions) == (9, 30)
    assert second.stopped == "completions"


# --- another question


def test_another_question_knows_what_was_asked_and_found(make: Any, saver: Any):
    policy = ScriptedPolicy(steps)
    chain = make(saver, policy)
    first = chain.invoke("How many?", THREAD)
    calls = len(policy.calls)
    second = chain.invoke("And now?", THREAD)
    (turn,) = second.turns
    assert (turn.question, turn.answer) == ("How many?", first.answer)
    assert turn.steps == first.text.rstrip()
    shown = {each.state.messages for batch in policy.calls[calls:] for each in batch}
    assert shown == {
        (("user", "How many?"), ("assistant", turn.steps), ("user", "And now?")),
    }
    assert second.tree[0].id == "0"
    third = chain.invoke("And then?", THREAD)
    assert [each.question for each in third.turns] == ["How many?", "And now?"]
    assert Solution.model_validate_json(third.model_dump_json()) == third


def test_scorers_and_verifiers_read_the_same_conversation():
    scorer, verifier = ScriptedScorer(lambda text: 0.5), ScriptedPolicy(steps, name="verifier")
    settings = {"num_trajectories": 2, "verify": "after", "remember_thread": True}
    chain = QStarChain(
        ScriptedPolicy(steps),
        scorer,
        task=TASK,
        settings=settings,
        verifier=verifier,
        checkpointer=InMemorySaver(),
    )
    chain.invoke("How many?", THREAD)
    scored, verified = len(scorer.calls), len(verifier.calls)
    chain.invoke("And now?", THREAD)
    states = [each.state for batch in scorer.calls[scored:] for each in batch]
    states += [each.state for batch in verifier.calls[verified:] for each in batch]
    assert len(verifier.calls) > verified
    assert {len(state.messages) for state in states} == {3}


def test_an_answer_that_the_steps_do_not_state_is_said():
    task = Task(
        name="odd",
        messages=lambda question: (("user", question),),
        answer=lambda text: "7" if text.endswith("7\n") else None,
        is_terminal=lambda text: "7" in text,
    )
    policy = ScriptedPolicy({"": ["is 7\n"]})
    settings = {"num_trajectories": 1, "remember_thread": True}
    chain = QStarChain(policy, None, task=task, settings=settings, checkpointer=InMemorySaver())
    chain.invoke("q", THREAD)
    chain.invoke("r", THREAD)
    assert policy.calls[-1][0].state.messages[1] == ("assistant", "is 7\nThe answer is 7.")


def test_by_default_a_thread_is_not_remembered(make: Any):
    policy = ScriptedPolicy(steps)
    chain = make(InMemorySaver(), policy, remember_thread=False)
    chain.invoke("q", THREAD)
    assert chain.invoke("r", THREAD).turns == ()
    assert {len(each.state.messages) for each in asked_of(policy)} == {1}


def test_what_does_not_fit_the_window_is_left_out_oldest_first():
    policy = ScriptedPolicy(steps, window=140)
    chain = qstar(InMemorySaver(), policy)
    for question in "qrstu":
        chain.invoke(question, THREAD)
    last = chain.invoke("v", THREAD)
    assert [turn.question for turn in last.turns] == ["t", "u"]
    assert chain.invoke("w " * 70, THREAD).turns == ()


def test_a_thread_of_another_machine_is_not_remembered():
    saver = InMemorySaver()
    qstar(saver).invoke("q", THREAD)
    assert rstar(saver).invoke("r", THREAD).turns == ()


@pytest.mark.nano
def test_nano_goes_on_in_its_tree_and_takes_a_second_question(saver: Any):
    question = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"
    chain = QStarChain(settings={"remember_thread": True, "fallback": False}, checkpointer=saver)
    small = chain.invoke(question, THREAD, max_pops=1)
    larger = chain.invoke(question, THREAD, max_pops=6)
    whole = QStarChain(settings={"fallback": False}).invoke(question, max_pops=6)

    def grown(solution: Solution) -> list[Any]:
        return [(each.id, each.text, each.q, each.popped) for each in solution.tree]

    assert grown(larger) == grown(whole)
    assert len(small.tree) < len(larger.tree)
    other = chain.invoke("Ben has 2 bags with 5 nuts each. How many nuts has Ben?", THREAD)
    assert other.tree
