"""Mutual verification inside whole searches."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar.chains import RStarChain
from langchain_qstar.errors import ModelError, SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.rstar import create_rstar_graph
from langchain_qstar.settings import RStarSettings
from langchain_qstar.solution import Solution
from langchain_qstar.tasks import NANO

QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"
SMALL: Any = {
    "actions": ("propose_step", "finish"),
    "num_rollouts": 6,
    "num_last_votes": 5,
    "mask_unit": "steps",
}


def writes(text: str) -> list[str]:
    """A model that often goes wrong: of three solutions two say 7, and one 12."""
    if not text:
        return ["Ann has 3+4=7 pens.\n", "Ann has 4+3=7 pens.\n", "Ann has 3*4=12 pens.\n"]
    value = "12" if "=12" in text else "7"
    return ["" if "The answer is" in text else f"The answer is {value}.\n"]


def knows(text: str) -> list[str]:
    """A model that comes out at 12, whatever it is shown."""
    return ["" if "The answer is" in text else "The answer is 12.\n"]


def searched(verifier: Any = None, **settings: Any) -> Solution:
    chain = RStarChain(
        ScriptedPolicy(writes), verifier, task="nano", checks=[], settings=SMALL | settings
    )
    solution: Solution = chain.invoke(QUESTION)
    return solution


def test_a_verifier_that_knows_turns_the_votes():
    alone = searched(verify="never")
    assert (alone.answer, alone.agreed) == ("7", None)
    for selection in ("share_survival", "survivor_vote"):
        solution = searched(ScriptedPolicy(knows), selection=selection)
        assert (solution.answer, solution.agreed) == ("12", True)
        assert (solution.verified, solution.verified_by) == (None, ())
        completed = [node.completed for node in solution.tree if node.completed]
        assert completed
        assert all(each == ("12",) * 4 for each in completed)


def test_the_policy_itself_is_the_verifier_when_there_is_none_other():
    solution = searched()
    assert solution.verifier == solution.policy == "scripted"
    assert any(node.completed for node in solution.tree)


def test_what_the_verifier_wrote_is_counted():
    alone, solution = searched(verify="never").usage, searched(ScriptedPolicy(knows)).usage
    candidates = sum(node.completed is not None for node in searched().tree)
    assert solution.completions == alone.completions + 4 * candidates
    assert solution.completion_tokens > alone.completion_tokens


def test_the_whole_verification_is_one_call():
    verifier = ScriptedPolicy(knows)
    searched(verifier)
    assert len(verifier.calls) == 1


def test_a_verifier_that_disagrees_leaves_the_majority():
    def disagrees(text: str) -> list[str]:
        return ["" if "The answer is" in text else "The answer is 99.\n"]

    solution = searched(ScriptedPolicy(disagrees))
    assert (solution.answer, solution.agreed) == ("7", False)


@pytest.mark.parametrize("failure", [ModelError, TimeoutError])
def test_statement_60_a_dead_verifier_ends_no_search(failure: type[Exception]):
    class Dead(ScriptedPolicy):
        def sample(self, requests: Any) -> Any:
            raise failure("gone")

    solution = searched(Dead({}))
    assert (solution.answer, solution.agreed, solution.stopped) == ("7", False, "complete")


def test_a_search_stops_once_its_outcome_is_decided():
    sure = ScriptedPolicy(lambda text: ["" if "The answer is" in text else "The answer is 12.\n"])
    settings = SMALL | {"num_rollouts": 16, "verify": "during"}
    chain = RStarChain(sure, task="nano", checks=[], settings=settings)
    solution = chain.invoke(QUESTION)
    assert (solution.answer, solution.stopped, solution.agreed) == ("12", "decided", True)
    assert solution.tree[0].visits < 16


def test_verified_during_the_search_no_candidate_is_completed_twice():
    verifier = ScriptedPolicy(knows)
    searched(verifier, verify="during")
    asked = [request.seeds for call in verifier.calls for request in call]
    assert len(verifier.calls) > 1
    assert len(asked) == len(set(asked))


def test_a_budget_keeps_enough_for_the_verifier():
    # By seed, for a budget decides how many samples are asked for together.
    policy = ScriptedPolicy(writes, by_seed=True)
    given = SMALL | {"max_tokens": 320}
    chain = RStarChain(policy, ScriptedPolicy(knows), task="nano", checks=[], settings=given)
    solution = chain.invoke(QUESTION, seed=1)
    assert solution.stopped == "tokens"
    assert solution.usage.completion_tokens <= 320
    assert any(node.completed for node in solution.tree)


def test_a_stream_tells_what_survived():
    chain = RStarChain(
        ScriptedPolicy(writes), ScriptedPolicy(knows), task="nano", checks=[], settings=SMALL
    )
    *events, solution = chain.stream(QUESTION)
    (verified,) = [each for each in events if each["type"] == "verified"]
    assert {each["answer"] for each in verified["nodes"] if each["survived"]} == {"12"}
    assert len(verified["nodes"]) == sum(node.completed is not None for node in solution.tree)


async def test_awaited_it_is_the_same():
    chain = RStarChain(
        ScriptedPolicy(writes), ScriptedPolicy(knows), task="nano", checks=[], settings=SMALL
    )
    one, other = chain.invoke(QUESTION), await chain.ainvoke(QUESTION)
    assert one.model_copy(update={"seconds": 0.0}) == other.model_copy(update={"seconds": 0.0})


def test_self_verification_needs_a_judge():
    settings = RStarSettings(selection="self_verification")
    with pytest.raises(SettingsError, match="pass judge="):
        create_rstar_graph(ScriptedPolicy(writes), task=NANO, settings=settings)
    judge = ScriptedScorer(lambda text: float("=12" in text))
    graph = create_rstar_graph(
        ScriptedPolicy(writes),
        task=NANO,
        settings=RStarSettings(selection="self_verification", **SMALL),
        checks=[],
        judge=judge,
    )
    solution = graph.compile().invoke({"question": QUESTION}, {"recursion_limit": 999})["solution"]
    assert (solution["answer"], solution["verified"]) == ("12", None)


@pytest.mark.nano
@pytest.mark.parametrize("selection", ["shrunk_survival", "self_verification"])
def test_nano_verifies_its_own_candidates(selection: str):
    settings = {
        "num_rollouts": 2,
        "num_votes": 2,
        "num_last_votes": 4,
        "num_steps": 1,
        "num_subquestions": 1,
        "max_depth": 3,
        "verify": "during",
        "selection": selection,
    }
    chain = RStarChain(settings=settings)
    solution = chain.invoke("Ann has 3 boxes with 4 pens each. How many pens does she have?")
    assert solution.verifier == "nano"
    assert any(node.completed for node in solution.tree) == (selection == "shrunk_survival")
    if selection == "shrunk_survival":
        assert (solution.answer, solution.agreed, solution.verified) == ("12", True, None)
