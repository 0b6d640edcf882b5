"""RStarChain: what is its own beside what all chains share."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from langchain_qstar.chains import RStarChain
from langchain_qstar.errors import SettingsError, ThreadError
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.settings import RStarSettings
from langchain_qstar.solution import Solution

QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"
SMALL: Any = {"num_rollouts": 6, "num_votes": 3, "num_last_votes": 5, "verify": "never"}
EVENTS = ("selected", "proposed", "voted", "checked", "backed_up", "answered")


def says(text: str) -> list[str]:
    """A model that acts inside one text, as nano does."""
    last = text.rpartition("\n")[2]
    if last.startswith("Q:"):
        return [" How many pens does Ann have?\n", " How many boxes are there?\n"]
    if last.startswith("A:"):
        return [" Ann has 3*4=12 pens.\n"]
    if last.startswith("Rephrase:"):
        return [" 3 boxes of 4 pens are Ann's. How many pens does Ann have?\n"]
    if "=12" in text:
        return ["" if "The answer is" in text else "The answer is 12.\n"]
    return ["Ann has 3*4=12 pens.\n", "Ann has 4*3=12 pens.\n", "Ann has 3+4=7 pens.\n"]


def chain(**options: Any) -> RStarChain:
    given = {"settings": SMALL, "task": "nano", **options}
    return RStarChain(given.pop("policy", None) or ScriptedPolicy(says), **given)


def untimed(solution: Solution) -> Solution:
    return solution.model_copy(update={"seconds": 0.0})


def test_it_solves_a_question_and_says_how():
    solution = chain().invoke(QUESTION)
    assert (solution.answer, solution.method, solution.stopped) == ("12", "rstar", "complete")
    assert solution.tree[0].visits == 6
    assert sum(vote.weight for vote in solution.votes) == pytest.approx(1)
    assert Solution.model_validate_json(solution.model_dump_json()) == solution
    assert [step.id for step in solution.steps] == [
        node.id for node in solution.tree if node.id in {step.id for step in solution.steps}
    ]


def test_the_text_is_what_a_person_reads_questions_and_answers():
    asking = {**SMALL, "actions": ("subquestion", "re_answer")}
    text = chain(settings=asking, output="text").invoke(QUESTION)
    assert "Q: How many pens does Ann have?\nA: Ann has 3*4=12 pens.\n" in text


async def test_all_call_forms_grow_the_same_tree():
    expected = untimed(chain().invoke(QUESTION, seed=3))
    assert untimed(await chain().ainvoke(QUESTION, seed=3)) == expected
    assert untimed(chain().batch([QUESTION], seed=3)[0]) == expected
    assert untimed((await chain().abatch([QUESTION], seed=3))[0]) == expected
    assert untimed([item async for item in chain().astream(QUESTION, seed=3)][-1]) == expected


def test_a_stream_tells_each_rollout_and_ends_with_the_solution():
    *events, solution = chain().stream(QUESTION)
    kinds = Counter(event["type"] for event in events)
    assert set(kinds) == set(EVENTS)
    ended = [each for event in events if event["type"] == "backed_up" for each in event["rollouts"]]
    assert [each["rollout"] for each in ended] == list(range(6))
    assert events[0]["nodes"][0]["rollout"] == 0
    assert events[-1]["answer"] == solution.answer
    proposed = [n["id"] for event in events if event["type"] == "proposed" for n in event["nodes"]]
    assert sorted(proposed) == sorted(node.id for node in solution.tree[1:])


def test_no_node_reads_the_tree_that_need_not():
    inputs: dict[str, set[str]] = {}
    for task in chain().graph.stream(
        {"question": QUESTION}, {"recursion_limit": 500}, stream_mode="tasks"
    ):
        if "input" in task:
            inputs[task["name"]] = set(task["input"])
    readers = {name for name, keys in inputs.items() if keys & {"nodes", "stats"}}
    assert readers == {"root", "select", "backup", "answer"}


def test_a_call_may_give_budgets_and_a_seed():
    solution = chain().invoke({"question": QUESTION, "num_rollouts": 2, "seed": 5})
    assert (solution.tree[0].visits, solution.seed) == (2, 5)
    assert solution.settings["num_rollouts"] == 2
    with pytest.raises(SettingsError, match="max_pops"):
        chain().invoke(QUESTION, max_pops=3)


@pytest.mark.parametrize("profile", ["paper", "official"])
def test_the_profiles_are_settings(profile: Any):
    settings = RStarSettings.profile(profile, num_rollouts=2, verify="never")
    solution = chain(settings=settings).invoke(QUESTION)
    assert (solution.answer, solution.settings["repetition_penalty"]) == ("12", 1.1)


def test_the_same_call_again_goes_on_where_a_killed_one_was(
    tmp_path: Path, mortal_policy: Any, killed: Any
):
    config: Any = {"configurable": {"thread_id": "t"}}
    with SqliteSaver.from_conn_string(str(tmp_path / "search.db")) as saver:
        with pytest.raises(killed):
            chain(policy=mortal_policy(says, 8), checkpointer=saver).invoke(QUESTION, config)
        rest = ScriptedPolicy(says)
        resumed = chain(policy=rest, checkpointer=saver).invoke(QUESTION, config)
    whole = ScriptedPolicy(says)
    assert untimed(resumed) == untimed(chain(policy=whole).invoke(QUESTION))
    assert 0 < len(rest.calls) < len(whole.calls)


# --- the bundled model


@pytest.mark.nano
def test_nano_solves_a_problem_by_all_five_actions():
    settings = {"num_rollouts": 6, "num_votes": 4, "num_last_votes": 6, "verify": "never"}
    solution = RStarChain(settings=settings).invoke(QUESTION)
    assert solution.answer == "12"
    assert {node.action for node in solution.tree} >= {
        *("root", "propose_step", "finish", "subquestion", "rephrase")
    }
    assert solution.usage.reused_tokens > 0.8 * solution.usage.prompt_tokens


class MortalNano:
    """The bundled model, that dies at its nth batch."""

    def __init__(self, left: int, killed: type[BaseException]) -> None:
        self._nano = resolve_policy("nano")
        self._left = left
        self._killed = killed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._nano, name)

    def sample(self, requests: Any) -> Any:
        self._left -= 1
        if not self._left:
            raise self._killed
        return self._nano.sample(requests)


@pytest.mark.nano
def test_nano_killed_and_resumed_grows_the_tree_it_would_have_grown(tmp_path: Path, killed: Any):
    config: Any = {"configurable": {"thread_id": "t"}}
    small = {"num_rollouts": 3, "num_votes": 2, "num_last_votes": 3, "verify": "never"}

    def grown(solution: Solution) -> list[Any]:
        return [(n.id, n.text, n.visits, n.value, n.votes, n.answer) for n in solution.tree]

    with SqliteSaver.from_conn_string(str(tmp_path / "search.db")) as saver:
        options: Any = {"settings": small, "task": "nano", "checkpointer": saver}
        with pytest.raises(killed):
            RStarChain(MortalNano(7, killed), **options).invoke(QUESTION, config)
        resumed = RStarChain(**options).invoke(QUESTION, config)
    assert grown(resumed) == grown(RStarChain(settings=small).invoke(QUESTION))


def test_the_calls_of_a_thread_share_its_budget(tmp_path: Path):
    thread: Any = {"configurable": {"thread_id": "t"}}
    with SqliteSaver.from_conn_string(str(tmp_path / "threads.sqlite")) as saver:
        made = chain(settings={**SMALL, "max_thread_nodes": 12}, checkpointer=saver)
        first = made.invoke(QUESTION, thread, max_nodes=6)
        assert first.stopped == "nodes"
        assert made.invoke("Another?", thread).stopped == "nodes"
        with pytest.raises(ThreadError, match="max_thread_nodes of 12"):
            made.invoke("A third?", thread)


def test_a_killed_search_goes_on_and_a_finished_one_is_given_again(tmp_path: Path):
    thread: Any = {"configurable": {"thread_id": "t"}}
    with SqliteSaver.from_conn_string(str(tmp_path / "threads.sqlite")) as saver:
        whole = chain(checkpointer=saver).invoke(QUESTION, thread)
        silent = ScriptedPolicy({})
        again = chain(policy=silent, checkpointer=saver).resume("t")
        assert untimed(again) == untimed(whole)
        assert not silent.calls
        for point in list(saver.list(thread))[2:20:4]:
            assert untimed(chain(checkpointer=saver).resume(point.config)) == untimed(whole)
