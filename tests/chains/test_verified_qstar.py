"""Q* searches whose collected trajectories a second model completes before the answer."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langchain_qstar import QStarChain, ScriptedPolicy, ScriptedScorer
from langchain_qstar.errors import ModelError, SettingsError
from langchain_qstar.qstar import create_qstar_graph
from langchain_qstar.settings import QStarSettings
from langchain_qstar.solution import Solution
from langchain_qstar.tasks import NANO

QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"
SCRIPT = {
    "": ["Ann has 3+4=7 pens.\n", "Ann has 5+5=10 pens.\n", "Ann has 3*4=12 pens.\n"],
    "Ann has 3+4=7 pens.\n": ["The answer is 7.\n"],
    "Ann has 5+5=10 pens.\n": ["The answer is 7.\n"],
    "Ann has 3*4=12 pens.\n": ["The answer is 12.\n"],
}
LIKES_SEVEN = ScriptedScorer(lambda text: 0.9 if "3+4" in text else 0.5)
VERIFIED: Any = {"num_samples": 3, "num_trajectories": 3, "verify": "after", "mask_unit": "steps"}


def says(answer: int) -> ScriptedPolicy:
    """Comes out at `answer`, whatever it is shown."""
    line = f"The answer is {answer}.\n"
    return ScriptedPolicy(lambda text: ["" if "The answer is" in text else line], name="knows")


def chain(verifier: Any = None, checks: Any = (), **settings: Any) -> QStarChain:
    given = VERIFIED | settings
    return QStarChain(
        ScriptedPolicy(SCRIPT),
        LIKES_SEVEN,
        task=NANO,
        checks=list(checks),
        settings={name: value for name, value in given.items() if value is not None},
        verifier=verifier,
    )


def searched(verifier: Any = None, checks: Any = (), **settings: Any) -> Solution:
    solution: Solution = chain(verifier, checks, **settings).invoke(QUESTION)
    return solution


def completed(solution: Solution) -> dict[str, Any]:
    return {each.text: each.completed for each in solution.tree if each.completed is not None}


def test_a_verifier_that_knows_turns_the_answer():
    assert searched(verify="never").answer == "7"
    verifier = says(12)
    solution = searched(verifier)
    assert (solution.answer, solution.agreed) == ("12", True)
    assert (solution.verified, solution.verified_by) == (None, ())
    assert (solution.policy, solution.verifier) == ("scripted", "knows")
    assert [each.completed for each in solution.tree if each.completed] == [("12",) * 4] * 3
    assert len(verifier.calls) == 1


def test_the_votes_are_shares_of_what_the_rule_scored():
    solution = searched(says(12), verified_selection="survivor_vote")
    assert [(vote.answer, vote.count, vote.weight) for vote in solution.votes] == [
        ("12", 1, 1.0),
        ("7", 2, 0.0),
    ]


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ("majority", "7"),
        ("survivor_vote", "12"),
        ("share_survival", "12"),
        ("reward_confidence", "12"),
        ("shrunk_survival", "12"),
    ],
)
def test_every_rule_for_the_winner_may_be_asked_for(rule: str, answer: str):
    assert searched(says(12), verified_selection=rule).answer == answer


def test_of_survivors_the_one_of_highest_f_may_win():
    agrees_with_all = ScriptedPolicy(
        lambda text: ["" if "answer" in text else f"The answer is {12 if '12' in text else 7}.\n"]
    )
    solution = searched(agrees_with_all, verified_selection="reward_confidence", masks=(0.5,))
    assert solution.steps[0].text == "Ann has 3+4=7 pens.\n"


def test_a_verifier_that_disagrees_with_all_leaves_the_majority():
    solution = searched(says(99))
    assert (solution.answer, solution.agreed) == ("7", False)


def test_a_failed_check_refutes_whoever_agrees():
    solution = searched(says(7), ["arithmetic"], failed_check="keep")
    assert (solution.answer, solution.agreed) == ("7", True)
    assert (solution.verified, solution.calculations) == (None, "hold")

    def no_seven(state: Any, step: str) -> bool:
        return "=7" not in step

    solution = searched(says(7), [no_seven], failed_check="keep")
    assert (solution.answer, solution.agreed, solution.verified) == ("7", True, True)
    assert solution.steps[0].text == "Ann has 5+5=10 pens.\n"

    def no_first_step(state: Any, step: str) -> bool:
        return bool(state.steps)

    solution = searched(says(7), [no_first_step], failed_check="keep")
    assert (solution.answer, solution.agreed, solution.verified) == ("7", True, False)
    for abstain in (True, "failed"):
        withheld = searched(says(7), [no_first_step], failed_check="keep", abstain=abstain)
        assert (withheld.answer, withheld.agreed) == (None, None)


def test_where_all_say_the_same_nobody_is_asked():
    verifier = says(7)
    solution = searched(verifier, num_trajectories=1)
    assert (solution.answer, solution.agreed, verifier.calls) == ("7", None, [])


def test_the_policy_itself_verifies_where_there_is_none_other():
    solution = searched()
    assert solution.verifier == solution.policy == "scripted"
    assert completed(solution)


def test_by_default_nobody_verifies_and_the_machine_is_as_ever():
    solution = searched(verify=None)
    assert (solution.verifier, solution.agreed, completed(solution)) == (None, None, {})
    assert "verify_by_completion" not in chain(verify=None).graph.nodes
    assert "verify_by_completion" in chain().graph.nodes


def test_a_verifier_that_nobody_asks_for_is_an_error():
    with pytest.raises(SettingsError, match="set verify='after'"):
        chain(says(12), verify="never")
    with pytest.raises(SettingsError, match="set verify='after'"):
        create_qstar_graph(says(12), task=NANO, verifier=says(12))


def test_what_the_verifier_wrote_is_counted():
    alone, solution = searched(verify="never").usage, searched(says(12)).usage
    assert solution.completions == alone.completions + 3 * 4
    assert solution.completion_tokens > alone.completion_tokens


def test_a_budget_keeps_enough_for_the_verifier():
    alone = searched(verify="never").usage.completion_tokens
    solution = searched(says(12), max_tokens=alone + 80, num_trajectories=6)
    assert solution.stopped == "tokens"
    assert completed(solution)
    assert solution.usage.completion_tokens <= alone + 80


def test_a_budget_that_is_spent_leaves_the_choice_to_the_search():
    solution = searched(says(12), max_pops=6, max_completions=6, num_trajectories=6)
    assert not completed(solution)
    assert (solution.answer, solution.agreed) == ("7", None)


@pytest.mark.parametrize("failure", [ModelError, TimeoutError])
def test_a_dead_verifier_ends_no_search(failure: type[Exception]):
    class Dead(ScriptedPolicy):
        def sample(self, requests: Any) -> Any:
            raise failure("gone")

    solution = searched(Dead({}))
    assert (solution.answer, solution.agreed, solution.stopped) == ("7", False, "complete")


async def test_awaited_it_is_the_same():
    one, other = chain(says(12)).invoke(QUESTION), await chain(says(12)).ainvoke(QUESTION)
    assert one.model_copy(update={"seconds": 0.0}) == other.model_copy(update={"seconds": 0.0})


def test_a_stream_tells_what_survived():
    *events, _ = chain(says(12)).stream(QUESTION)
    (verified,) = [each for each in events if each["type"] == "verified"]
    assert [each["answer"] for each in verified["nodes"] if each["survived"]] == ["12"]
    assert [each["type"] for each in events[-2:]] == ["verified", "answered"]


def test_a_person_is_asked_about_the_verified_answer_and_may_forbid_it():
    graph_chain = QStarChain(
        ScriptedPolicy(SCRIPT),
        LIKES_SEVEN,
        task=NANO,
        checks=[],
        settings=VERIFIED | {"interrupt": ("answer",)},
        verifier=says(12),
        checkpointer=InMemorySaver(),
    )
    asked = graph_chain.invoke(QUESTION, {"configurable": {"thread_id": "one"}})
    assert [step.answer for step in asked.pending.steps] == ["12"]
    again = graph_chain.resume("one", "forbid")
    assert [step.answer for step in again.pending.steps] == ["7"]
    assert graph_chain.resume("one", "approve").answer == "7"


def test_a_finished_search_is_not_verified_again():
    verifier = says(12)
    stored = QStarChain(
        ScriptedPolicy(SCRIPT),
        LIKES_SEVEN,
        task=NANO,
        checks=[],
        settings=VERIFIED,
        verifier=verifier,
        checkpointer=InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "one"}}
    first = stored.invoke(QUESTION, config)
    assert stored.invoke(QUESTION, config).answer == first.answer == "12"
    assert len(verifier.calls) == 1


def test_settings_of_the_verification_are_checked():
    with pytest.raises(SettingsError, match="random_mask"):
        QStarSettings(random_mask=(0.8, 0.2))
    with pytest.raises(SettingsError, match="verify"):
        QStarSettings(verify="during")


@pytest.mark.nano
def test_the_bundled_model_verifies_what_it_collected():
    settings: Any = {"num_samples": 4, "num_trajectories": 2, "max_pops": 12, "verify": "after"}

    def is_twelve(state: Any, step: str) -> bool | None:
        return "12" in step if "answer" in step else None

    chain = QStarChain(settings=settings | {"abstain": True}, checks=["arithmetic", is_twelve])
    solution = chain.invoke("Ann has 3 boxes with 4 pens each. How many pens does she have?")
    assert solution.verifier == "nano"
    assert (solution.answer, solution.verified) == ("12", True)
    assert solution.verified_by == ("is_twelve",)
    assert solution.calculations == "hold"
