"""What `verified`, `calculations` and `agreed` say, and what abstaining gives, in every method."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from langchain_qstar.chains import (
    BestOfNChain,
    GreedyChain,
    QStarChain,
    RStarChain,
    SelfConsistencyChain,
    SolverChain,
)
from langchain_qstar.errors import SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.rendering import refutation, solution_html
from langchain_qstar.solution import Solution

QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"
RIGHT, WRONG = "Ann has 3*4=12 pens.\n", "Ann has 3*4=13 pens.\n"
LIKES_ALL = ScriptedScorer(lambda text: 0.5)


def one_of(*steps: str) -> ScriptedPolicy:
    """A model that begins with these steps, and says what they come to."""

    def says(text: str) -> list[str]:
        if not text:
            return list(steps)
        if "answer" in text:
            return [""]
        return [f"The answer is {text.rpartition('=')[2][:2]}.\n"]

    return ScriptedPolicy(says)


def qstar(policy: Any, **options: Any) -> SolverChain:
    settings: Any = {"num_samples": 2, "num_trajectories": 2, "failed_check": "keep"}
    settings |= options.pop("settings", {})
    return QStarChain(policy, LIKES_ALL, task="nano", settings=settings, **options)


def rstar(policy: Any, **options: Any) -> SolverChain:
    settings: Any = {
        "actions": ("propose_step", "finish"),
        "num_rollouts": 4,
        "num_last_votes": 2,
        "mask_unit": "steps",
        **options.pop("settings", {}),
    }
    return RStarChain(policy, task="nano", settings=settings, **options)


METHODS: dict[str, Any] = {
    "qstar": qstar,
    "rstar": rstar,
    "greedy": lambda policy, **o: GreedyChain(policy, task="nano", **o),
    "self-consistency": lambda policy, **o: SelfConsistencyChain(policy, task="nano", n=2, **o),
    "best-of-n": lambda policy, **o: BestOfNChain(policy, LIKES_ALL, task="nano", n=2, **o),
}
MACHINES = {name: METHODS[name] for name in ("qstar", "rstar")}
every_method = pytest.mark.parametrize("method", METHODS)
every_machine = pytest.mark.parametrize("method", MACHINES)


def solved(method: str, policy: ScriptedPolicy, **options: Any) -> Solution:
    solution: Solution = METHODS[method](policy, **options).invoke(QUESTION)
    return solution


def known(solution: Solution) -> tuple[Any, ...]:
    return solution.answer, solution.verified, solution.verified_by, solution.calculations


def says_twelve(state: Any, step: str) -> bool | None:
    """A test of the answer."""
    return "12" in step if "answer" in step else None


@every_method
def test_calculations_that_only_hold_verify_nothing(method: str):
    solution = solved(method, one_of(RIGHT))
    assert known(solution) == ("12", None, (), "hold")
    assert solution.agreed is None
    assert "its calculations hold" in solution_html(solution.model_dump(mode="json"))


@every_method
def test_a_failed_check_refutes_and_says_so_in_a_line(method: str):
    solution = solved(method, one_of(WRONG))
    assert known(solution) == ("13", False, ("arithmetic",), "failed")
    line = refutation(solution.model_dump())
    assert line.startswith("check arithmetic failed step 1 of ")
    assert line.endswith("3*4=13 pens: 3*4 is 12")
    assert str(solution).endswith(f"\n!! {line}")


@every_method
@pytest.mark.parametrize("abstain", ["failed", True])
def test_who_abstains_gives_no_refuted_answer(method: str, abstain: Any):
    solution = solved(method, one_of(WRONG), abstain=abstain)
    assert known(solution) == (None, False, ("arithmetic",), "failed")


@every_method
def test_only_who_wants_it_verified_gives_no_answer_that_is_not(method: str):
    assert known(solved(method, one_of(RIGHT), abstain="failed")) == ("12", None, (), "hold")
    assert known(solved(method, one_of(RIGHT), abstain=True))[:2] == (None, None)


@every_method
@pytest.mark.parametrize("abstain", [False, "failed", True])
def test_a_test_that_passes_verifies(method: str, abstain: Any):
    checks = ["arithmetic", says_twelve]
    solution = solved(method, one_of(RIGHT), checks=checks, abstain=abstain)
    assert known(solution) == ("12", True, ("says_twelve",), "hold")
    assert "verified by says_twelve" in solution_html(solution.model_dump(mode="json"))


@every_method
def test_a_test_that_fails_refutes_though_the_calculations_hold(method: str):
    policy = one_of("Ann has 6+7=13 pens.\n")
    checks = ["arithmetic", says_twelve]
    solution = solved(method, policy, checks=checks)
    assert known(solution) == ("13", False, ("says_twelve",), "hold")
    assert solved(method, policy, checks=checks, abstain="failed").answer is None


@every_method
def test_a_test_that_passes_verifies_nothing_after_a_failed_calculation(method: str):
    policy = one_of("Ann has 3*5=12 pens.\n")
    solution = solved(method, policy, checks=["arithmetic", says_twelve])
    assert known(solution) == ("12", False, ("arithmetic",), "failed")


@every_method
def test_without_a_check_nothing_is_known(method: str):
    assert known(solved(method, one_of(WRONG), checks=[])) == ("13", None, (), None)


@every_machine
@pytest.mark.parametrize("abstain", ["failed", True])
def test_a_search_that_abstains_chooses_among_what_it_may_answer(method: str, abstain: Any):
    policy = one_of("Ann has 6+7=13 pens.\n", RIGHT)
    checks = ["arithmetic", says_twelve]
    settings: Any = {"verify": "never", "failed_check": "keep"}
    solution = solved(method, policy, checks=checks, abstain=abstain, settings=settings)
    assert known(solution) == ("12", True, ("says_twelve",), "hold")
    assert {vote.answer for vote in solution.votes} == {"12", "13"}


LIKES_THIRTEEN = ScriptedScorer(lambda text: 0.9 if "13" in text else 0.5)
SAMPLING: dict[str, Any] = {
    "self-consistency": SelfConsistencyChain,
    "checked self-consistency": lambda policy, **o: SelfConsistencyChain(policy, checked=True, **o),
    "best-of-n": lambda policy, **o: BestOfNChain(policy, LIKES_THIRTEEN, **o),
    "weighted": lambda policy, **o: BestOfNChain(policy, LIKES_THIRTEEN, weighted=True, **o),
}


@pytest.mark.parametrize("method", SAMPLING)
@pytest.mark.parametrize(("abstain", "answer"), [(False, "13"), ("failed", "7"), (True, "12")])
async def test_samples_that_would_be_withheld_are_not_chosen(
    method: str, abstain: Any, answer: str
):
    wrong, unsaid = "Ann has 6+8=13 pens.\n", "Ann has 3+4=7 pens.\n"
    policy = one_of(wrong, wrong, wrong, unsaid, unsaid, RIGHT)

    def is_twelve(state: Any, step: str) -> bool | None:
        return True if "answer is 12" in step else None

    checks = ["arithmetic", is_twelve]
    chain = SAMPLING[method](policy, task="nano", n=6, checks=checks, abstain=abstain)
    solution = chain.invoke(QUESTION)
    if method.startswith("checked") and not abstain:
        answer = "7"
    assert solution.answer == (await chain.ainvoke(QUESTION)).answer == answer
    assert {sample.answer for sample in solution.samples} == {"7", "12", "13"}


@pytest.mark.parametrize("rule", ["max_f", "majority", "weighted_majority"])
def test_between_equal_votes_the_answer_that_no_check_failed_wins(rule: str):
    solution = solved("qstar", one_of(WRONG, RIGHT), settings={"selection": rule})
    assert [(vote.answer, vote.weight) for vote in solution.votes] == [("12", 0.5), ("13", 0.5)]
    assert solution.answer == "12"


@every_machine
@pytest.mark.parametrize(("verifier", "agreed"), [(12, True), (99, False)])
def test_a_model_that_saw_the_steps_agrees_and_verifies_nothing(
    method: str, verifier: int, agreed: Any
):
    completes = ScriptedPolicy(
        lambda text: ["" if "answer" in text else f"The answer is {verifier}.\n"]
    )
    policy = one_of(RIGHT, "Ann has 3+4=7 pens.\n")
    settings = {"verify": "after"}
    solution = solved(method, policy, verifier=completes, settings=settings)
    assert (solution.agreed, solution.verified, solution.verified_by) == (agreed, None, ())
    assert solution.calculations == "hold"
    word = "agrees" if agreed else "disagrees"
    assert f"a second model {word}" in solution_html(solution.model_dump(mode="json"))
    assert (
        solved(method, policy, verifier=completes, settings=settings, abstain=True).answer is None
    )


@every_machine
def test_what_is_stored_says_the_same(method: str):
    thread: RunnableConfig = {"configurable": {"thread_id": "t"}}
    options: Any = {"checks": ["arithmetic", says_twelve], "abstain": True}
    saver = InMemorySaver()
    chain = METHODS[method](one_of(RIGHT), checkpointer=saver, **options)
    first = chain.invoke(QUESTION, thread)
    again = chain.invoke(QUESTION, thread)
    assert known(first) == known(again) == ("12", True, ("says_twelve",), "hold")


@every_method
async def test_awaited_it_is_the_same(method: str):
    chain = METHODS[method](one_of(WRONG), abstain="failed")
    assert known(await chain.ainvoke(QUESTION)) == known(chain.invoke(QUESTION))


CANNOT = (
    "abstain: nothing here can verify an answer ({}); give a test as checks=, or abstain='failed'"
)


def abstaining(solution: Solution) -> list[str]:
    """What is said of abstaining; that the model repeats itself is said beside it."""
    return [line for line in solution.usage.shortfalls if not line.startswith("samples: ")]


@every_method
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"abstain": True}, [CANNOT.format("checks only calculate")]),
        ({"abstain": True, "checks": []}, [CANNOT.format("there are no checks")]),
        ({"abstain": True, "checks": ["arithmetic", says_twelve]}, []),
        ({"abstain": "failed"}, []),
        ({}, []),
    ],
)
def test_to_abstain_where_nothing_can_verify_is_told(method: str, options: Any, said: list[str]):
    assert abstaining(solved(method, one_of(RIGHT), **options)) == said


@every_machine
def test_a_setting_to_abstain_is_told_too(method: str):
    solution = solved(method, one_of(RIGHT), settings={"abstain": True})
    assert (solution.answer, len(abstaining(solution))) == (None, 1)


@every_method
@pytest.mark.parametrize("value", ["never", 1, None])
def test_another_way_to_abstain_is_an_error(method: str, value: Any):
    with pytest.raises(SettingsError, match="choose True, False or 'failed'"):
        METHODS[method](one_of(RIGHT), abstain=value)
