"""What a check does to a search, with the scripted model."""

from __future__ import annotations

import asyncio
import threading

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from langchain_qstar import QStarChain, ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Task
from langchain_qstar.tasks import NANO

QUESTION = "What is 2 and 3?"
SCRIPT = {
    "": ["2+3=6\n", "2+3=5\n", "Two and three.\n"],
    "2+3=6\n": ["The answer is 6.\n"],
    "2+3=5\n": ["The answer is 5.\n"],
}
LIKES_THE_FALSE_ONE = ScriptedScorer(
    {"2+3=6": 0.9, "2+3=5": 0.5, "The answer is 6.": 0.9, "The answer is 5.": 0.5}
)


CONFIG: RunnableConfig = {"configurable": {"thread_id": "one"}}


def solve(script=SCRIPT, scorer=LIKES_THE_FALSE_ONE, **options):
    settings = {"num_samples": 3, "num_trajectories": 1} | options.pop("settings", {})
    chain = QStarChain(ScriptedPolicy(script), scorer, task=NANO, settings=settings, **options)
    return chain.invoke(QUESTION, CONFIG)


def node(solution, text):
    return next(each for each in solution.tree if each.text == text)


def test_a_step_that_fails_a_check_is_closed_with_the_reason():
    solution = solve()
    closed = node(solution, "2+3=6\n")
    assert closed.closed == "arithmetic: 2+3=6: 2+3 is 5"
    assert closed.checks[0].verdict == "failed"
    assert closed.q == 0.9
    assert closed.popped is None
    assert solution.answer == "5"
    assert (solution.verified, solution.calculations) == (None, "hold")
    assert [step.checks[0].verdict for step in solution.steps] == ["passed", "passed"]


def test_every_step_of_the_tree_is_judged_and_the_root_is_not():
    solution = solve()
    assert solution.tree[0].checks == ()
    assert all(len(each.checks) == 1 for each in solution.tree[1:])
    assert node(solution, "Two and three.\n").checks[0].verdict == "not_checkable"


def test_a_failed_check_may_only_be_reported():
    solution = solve(settings={"failed_check": "keep"})
    assert solution.answer == "6"
    assert (solution.verified, solution.verified_by) == (False, ("arithmetic",))
    assert solution.calculations == "failed"
    assert node(solution, "2+3=6\n").closed is None


def test_a_failed_check_may_be_a_penalty_in_the_process_reward():
    solution = solve(settings={"failed_check": "penalise"})
    penalised = node(solution, "2+3=6\n")
    assert (penalised.reward, penalised.g) == (-0.5, -0.5)
    assert penalised.f == pytest.approx(0.9 - 0.5)
    assert node(solution, "2+3=5\n").f == pytest.approx(0.5)
    assert solution.answer == "5"


def test_the_penalty_comes_on_top_of_a_reward_model():
    solution = solve(
        utility=ScriptedScorer({"2+3=6": 0.75}),
        settings={"failed_check": "penalise", "penalty": 0.25},
    )
    assert node(solution, "2+3=6\n").reward == 0.5


def test_without_checks_nothing_is_judged():
    solution = solve(checks=[])
    assert solution.answer == "6"
    assert (solution.verified, solution.calculations) == (None, None)
    assert all(each.checks == () for each in solution.tree)


def test_a_function_of_the_user_judges_too():
    def says_five(state, step):
        return "5" in step, "five"

    solution = solve(checks=["arithmetic", says_five])
    assert (solution.verified, solution.verified_by) == (True, ("says_five",))
    assert solution.calculations == "hold"
    assert node(solution, "Two and three.\n").closed == "says_five: five"


def test_a_search_whose_every_step_is_closed_still_returns():
    solution = solve({"": ["2+3=6\n", "2+3=7\n"]})
    assert solution.stopped == "exhausted"
    assert solution.answer is None
    proposed = [each for each in solution.tree if each.action == "propose_step"]
    assert [each.text for each in proposed if each.closed] == ["2+3=6\n", "2+3=7\n"]


def test_a_checkpointed_search_keeps_verdicts():
    saver = InMemorySaver()
    first = solve(checkpointer=saver)
    assert solve(checkpointer=saver).tree == first.tree


@pytest.mark.parametrize("h_mode", ["edge", "lookahead"])
def test_closed_states_are_not_continued(h_mode):
    policy = ScriptedPolicy(SCRIPT)
    settings = {"num_samples": 3, "num_trajectories": 2, "h_mode": h_mode}
    solution = QStarChain(policy, LIKES_THE_FALSE_ONE, task=NANO, settings=settings).invoke(
        QUESTION
    )
    assert solution.answer == "5"
    assert node(solution, "2+3=6\n").popped is None


def test_no_step_is_sampled_after_a_closed_one():
    script = {
        "": ["2+3=5\n"],
        "2+3=5\n": ["5+1=7\n", "5+1=6\n"],
        "2+3=5\n5+1=6\n": ["The answer is 6.\n"],
    }
    for h_mode in ("edge", "lookahead"):
        policy = ScriptedPolicy(script)
        settings = {"num_samples": 2, "h_mode": h_mode, "fallback": False}
        QStarChain(policy, LIKES_THE_FALSE_ONE, task=NANO, settings=settings).invoke(QUESTION)
        asked = {request.state.text for call in policy.calls for request in call}
        assert "2+3=5\n5+1=6\n" in asked
        assert "2+3=5\n5+1=7\n" not in asked


@pytest.mark.parametrize("scorer", [LIKES_THE_FALSE_ONE, None])
def test_checks_never_run_on_the_event_loop(scorer):
    threads = set()

    def mine(state, step):
        threads.add(threading.get_ident())

    async def search():
        chain = QStarChain(ScriptedPolicy(SCRIPT), scorer, task=NANO, checks=[mine])
        await chain.ainvoke(QUESTION)
        return threading.get_ident()

    assert asyncio.run(search()) not in threads
    assert threads


def test_checks_run_while_the_scorer_works():
    both = threading.Barrier(2, timeout=20)

    class Waiting(ScriptedScorer):
        def score(self, requests):
            both.wait()
            return super().score(requests)

    def mine(state, step):
        if step == "a\n":
            both.wait()

    task = Task(
        name="one",
        messages=lambda question: (("user", question),),
        answer=lambda text: text.strip(),
        is_terminal=bool,
    )
    policy = ScriptedPolicy({"": ["a\n"]})
    chain = QStarChain(policy, Waiting({}), task=task, checks=[mine])
    assert chain.invoke("?").answer == "a"


def test_abstaining_gives_no_answer_where_nothing_verifies():
    unchecked = {"": ["Two and three.\n"], "Two and three.\n": ["The answer is 5.\n"]}
    assert solve(unchecked).answer == "5"
    solution = solve(unchecked, abstain=True)
    assert solution.answer is None
    assert solution.verified is None
    assert solution.settings["abstain"] is True


def test_abstaining_prefers_a_verified_answer_to_a_better_one():
    script = {
        "": ["2+3=5\n", "Two and four.\n"],
        "2+3=5\n": ["The answer is 5.\n"],
        "Two and four.\n": ["The answer is 6.\n"],
    }
    scorer = ScriptedScorer(lambda text: 0.9 if "four" in text else 0.5)
    settings = {"num_trajectories": 2}

    def is_five(state, step):
        return True if "answer is 5" in step else None

    options = {"settings": settings, "checks": ["arithmetic", is_five]}
    assert solve(script, scorer, **options).answer == "6"
    assert solve(script, scorer, **options, abstain=True).answer == "5"


def test_abstaining_from_failed_steps_prefers_an_answer_without_any():
    settings = {"num_trajectories": 2, "failed_check": "keep"}
    assert solve(settings=settings).answer == "6"
    solution = solve(settings=settings, abstain="failed")
    assert (solution.answer, solution.verified) == ("5", None)
    assert solve(settings=settings, abstain=True).answer is None


def test_the_completion_of_a_fallback_is_judged():
    settings = {"max_pops": 1, "failed_check": "keep"}
    policy = ScriptedPolicy({"": ["2+3=5\n"], "2+3=5\n": ["The answer is 5.\n"]})
    chain = QStarChain(policy, None, task=NANO, settings=settings, checkpointer=InMemorySaver())
    solution = chain.invoke(QUESTION, CONFIG)
    assert solution.stopped == "pops"
    assert solution.steps[-1].checks[0].verdict == "passed"
    assert solution.calculations == "hold"
    stored = chain.graph.get_state(CONFIG).values["stats"]
    assert stored[solution.tree[-1].id]["checks"][0]["verdict"] == "passed"


@pytest.mark.nano
def test_a_search_with_the_bundled_model_pops_no_step_that_failed():
    settings = {"num_samples": 4, "num_trajectories": 2, "max_pops": 12, "temperature": 1.2}
    solution = QStarChain(settings=settings).invoke(
        "Ann has 7 boxes with 34 pens each. She gives away 58 pens. How many does she have left?"
    )
    steps = solution.tree[1:]
    assert all([check.name for check in node.checks] == ["arithmetic"] for node in steps)
    failed = [node for node in steps if node.checks[0].verdict == "failed"]
    assert failed
    assert all(node.closed and node.popped is None for node in failed if node.action != "finish")
    assert any(node.checks[0].verdict == "passed" for node in steps)
