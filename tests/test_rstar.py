"""The machine against statements 25 to 43, 49 and 50 of the specification's conformance list.

The worked tree T4: root -> a, b; a -> a1 (reward .3, terminal), a2 (.9, terminal);
b (.5, terminal). Every random choice is the first element.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from langgraph.checkpoint.sqlite import SqliteSaver

from langchain_qstar.actions import Opening, Thought, Trace, trace_of
from langchain_qstar.errors import ModelError, QuestionError, SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Action, Completion, Policy, SampleRequest, State, Step, Task
from langchain_qstar.rstar import create_rstar_graph, rstar_superstep_limit
from langchain_qstar.settings.rstar import ACTIONS, RStarSettings
from langchain_qstar.solution import Solution, TreeNode
from langchain_qstar.state.rstar import Work

LAST = "Now we can answer"


class Forms:
    """Every action is asked for by its name; what was written before is shown as it is."""

    actions: tuple[Action, ...] = ACTIONS

    def __init__(self) -> None:
        self.traces: list[tuple[str, Trace]] = []

    def _after(self, trace: Trace, *more: Step) -> State:
        steps = [] if trace.rephrased is None else [trace.rephrased]
        for thought in trace.thoughts:
            asked = [] if thought.subquestion is None else [thought.subquestion]
            steps += [*asked, thought.step]
        return State(trace.question, (("user", trace.question),), (*steps, *more))

    def opening(self, action: Action, trace: Trace) -> Opening:
        self.traces.append((action, trace))
        return Opening(self._after(trace), ("\n",), 64, f"{action}: ")

    def answering(self, trace: Trace, subquestion: Step, *, last: bool) -> Opening:
        return Opening(self._after(trace, subquestion), ("\n",), 64, "answer: ")

    def is_last(self, question: str, subquestion: str) -> bool:
        return LAST in subquestion

    def reads(self, action: Action, text: str) -> bool:
        return "nonsense" not in text

    def statement(self, thought: Thought) -> str:
        return thought.step.text

    def segments(self, trace: Trace) -> tuple[str, ...]:
        return tuple(thought.step.text for thought in trace.thoughts)

    def completing(self, question: str, prefix: str) -> Opening:
        return Opening(State(question, (), (Step(prefix),)), ("\n",), 64)


def answer_in(text: str) -> str | None:
    found = re.search(r"answer is (\w+)", text)
    return None if found is None else found[1]


def task(**changes: Any) -> Task:
    made = Task(
        name="plain",
        messages=lambda question: (("user", question),),
        answer=answer_in,
        is_terminal=lambda text: "answer is" in text,
        forms=Forms(),
    )
    return replace(made, **changes)


Say = Callable[[str, int, random.Random], str]
"""(action, number of the sample in its request, randomness of its seed) -> what is said."""


@dataclass
class Speaker:
    """A policy that says what a function of the action and the seed says."""

    say: Say
    window: int | None = None
    name: str = "speaker"
    calls: list[Sequence[SampleRequest]] = field(default_factory=list)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        self.calls.append(requests)
        return [
            [self._complete(each, number, seed) for number, seed in enumerate(each.seeds)]
            for each in requests
        ]

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        return self.sample(requests)

    def _complete(self, request: SampleRequest, number: int, seed: int) -> Completion:
        action = request.prefill.partition(":")[0] or "complete"
        said = self.say(action, number, random.Random(seed))
        text = request.prefill + said if said else ""
        return Completion(text, generated=len(said.split()), prompt_tokens=9)


def agreeing(share: float, *, last: float = 0.25, states: float = 0.2) -> Say:
    """A model whose answers are right with probability `share`, and spread out otherwise."""

    def say(action: str, _: int, chance: random.Random) -> str:
        value = 7 if chance.random() < share else chance.randint(8, 12)
        match action:
            case "subquestion":
                return f"{LAST}: how many?\n" if chance.random() < last else "What is that?\n"
            case "rephrase":
                return "In other words, how many?\n"
            case "propose_step" if chance.random() >= states:
                return f"So it is {chance.randint(0, 99)}.\n"
        return f"The answer is {value}.\n"

    return say


@dataclass
class Run:
    """What came of a search."""

    solution: Solution
    events: list[Any]

    @property
    def ends(self) -> list[str]:
        """The last node of each rollout."""
        backed_up = [each for each in self.events if each["type"] == "backed_up"]
        return [rollout["id"] for each in backed_up for rollout in each["rollouts"]]

    def node(self, node_id: str) -> TreeNode:
        return next(each for each in self.solution.tree if each.id == node_id)

    def children(self, node_id: str) -> list[TreeNode]:
        return [each for each in self.solution.tree if each.parent == node_id]


def search(
    policy: Policy,
    *,
    asked: Task | None = None,
    seed: int = 0,
    budget: dict[str, Any] | None = None,
    q_model: Any = None,
    choose: Any = None,
    **settings: Any,
) -> Run:
    used = RStarSettings(**{"verify": "never", "num_rollouts": 8, **settings})
    given = {} if choose is None else {"choose": choose}
    graph = create_rstar_graph(
        policy, q_model=q_model, task=asked or task(), settings=used, **given
    ).compile()
    events: list[Any] = []
    last: Any = None
    for mode, item in graph.stream(
        {"question": "How many?", "seed": seed, "budget": budget or {}},
        {"recursion_limit": rstar_superstep_limit(used)},
        stream_mode=["custom", "values"],
    ):
        if mode == "custom":
            events.append(item)
        else:
            last = item
    return Run(Solution.model_validate(last["solution"]), events)


def first(*_: Any) -> int:
    return 0


def actions(nodes: Sequence[TreeNode]) -> list[str]:
    return [each.action for each in nodes]


STEPS, QUESTIONS = ["propose_step"] * 3, ["subquestion"] * 3
STARTS = [*STEPS, "finish", *QUESTIONS, "rephrase"]


# --- statements 25 to 31: who has which children


def test_25_the_children_of_the_root_are_made_in_order():
    run = search(Speaker(agreeing(0.8)), num_rollouts=1)
    assert actions(run.children("0")) == STARTS
    assert [each.id for each in run.children("0")] == [f"0.{slot}" for slot in range(8)]
    assert [each.id for each in run.solution.tree][:9] == ["0", *(f"0.{n}" for n in range(8))]


def test_26_to_31_in_a_whole_search_each_kind_of_node_has_the_children_it_may_have():
    run = search(Speaker(agreeing(0.8, states=0)), num_rollouts=32)
    expected = {
        "root": STARTS,
        "rephrase": [*STEPS, "finish", *QUESTIONS],
        "subquestion": [*STEPS, "finish", *QUESTIONS, "re_answer"],
        "re_answer": [*STEPS, "finish", *QUESTIONS],
        "propose_step": [*STEPS, "finish"],
    }
    seen = set()
    for node in run.solution.tree:
        if children := run.children(node.id):
            assert actions(children) == expected[node.action]
            assert not node.terminal
            seen.add(node.action)
    assert seen == expected.keys()
    for node in run.solution.tree:
        if node.action == "re_answer":
            assert run.node(str(node.parent)).action == "subquestion"
        if node.action == "rephrase":
            assert node.depth == 1


def test_28_below_a_rephrasing_everything_is_asked_of_it():
    asked = task()
    search(Speaker(agreeing(0.8)), asked=asked, num_rollouts=32)
    forms = asked.forms
    assert isinstance(forms, Forms)
    rephrased = [trace for _, trace in forms.traces if trace.rephrased is not None]
    assert rephrased
    assert {trace.rephrased.text for trace in rephrased if trace.rephrased} == {
        "rephrase: In other words, how many?\n"
    }
    assert any(trace.thoughts for trace in rephrased)


def test_30_without_actions_exactly_their_children_are_missing():
    kept = ("finish", "subquestion", "re_answer")
    run = search(Speaker(agreeing(0.8)), actions=kept, num_rollouts=16)
    assert actions(run.children("0")) == ["finish", *QUESTIONS]
    assert {each.action for each in run.solution.tree} <= {"root", *kept}


# --- statements 32 to 37: T4 through the machine


T4 = ScriptedPolicy({"": ["a\n", "b\n"], "a\n": ["a1\n", "a2\n"]})
REWARDS = ScriptedScorer({"a1": 0.3, "a2": 0.9, "b": 0.5})


class Letters(Forms):
    """One action, asked for without a word."""

    actions = ("propose_step",)

    def opening(self, action: Action, trace: Trace) -> Opening:
        return Opening(self._after(trace), ("\n",), 64)


def t4(**settings: Any) -> Run:
    letters = task(
        forms=Letters(),
        is_terminal=lambda text: text.strip() in {"a1", "a2", "b"},
        answer=str.strip,
    )
    return search(
        T4, asked=letters, q_model=REWARDS, choose=first, reward="q_model", num_steps=2, **settings
    )


def leaves(run: Run) -> list[str]:
    return [run.node(each).text.strip() for each in run.ends]


def test_34_t4_with_c_2_visits_these_leaves_and_ends_with_these_counts():
    run = t4(exploration=2.0)
    assert leaves(run) == ["a1", "b", "b", "a2", "a2", "b", "a1", "b"]
    visits = {each.text.strip(): each.visits for each in run.solution.tree}
    assert visits == {"": 8, "a": 4, "b": 4, "a1": 2, "a2": 2}
    values = {each.text.strip(): each.value for each in run.solution.tree}
    expected = {"": 4.4, "a": 2.4, "b": 2.0, "a1": 0.6, "a2": 1.8}
    assert values == pytest.approx(expected)


def test_35_t4_without_exploration_never_visits_a2():
    run = t4(exploration=0.0)
    assert leaves(run) == ["a1", *["b"] * 7]
    assert not run.node("0.0.1").visits


def test_37_what_a_simulation_made_stays_and_counts_one_visit():
    run = t4(num_rollouts=1)
    visits = {each.text.strip(): each.visits for each in run.solution.tree}
    assert visits == {"": 1, "a": 1, "b": 0, "a1": 1, "a2": 0}


def test_39_a_terminal_that_is_met_again_is_rewarded_again_without_a_model():
    T4.calls.clear()
    t4(num_rollouts=8)
    assert [[each.state.text for each in batch] for batch in T4.calls] == [[""], ["a\n"]]


def test_32_every_child_of_the_root_is_visited_before_any_is_visited_twice():
    run = search(Speaker(agreeing(0.8)), num_rollouts=8)
    assert sorted(each.split(".")[1] for each in run.ends) == [str(slot) for slot in range(8)]


@pytest.mark.parametrize("flying", [1, 3])
def test_36_and_37_visits_add_up_and_each_node_is_expanded_once(flying: int):
    policy = Speaker(agreeing(0.8))
    run = search(policy, num_rollouts=24, rollouts_in_flight=flying)
    ends = Counter(run.ends)
    assert run.node("0").visits == 24 == ends.total()
    for node in run.solution.tree:
        below = sum(each.visits for each in run.children(node.id))
        assert node.visits == below + ends[node.id]
    asked = Counter(seed for batch in policy.calls for each in batch for seed in each.seeds)
    assert set(asked.values()) == {1}  # no sample of any node was drawn twice


# --- statements 40 to 43: rewards


def test_40_a_path_that_is_cut_earns_nothing():
    run = search(Speaker(agreeing(0.8)), actions=("propose_step",), end_at_answer=False)
    assert {each.depth for each in map(run.node, run.ends)} == {5}
    assert run.node("0").value == 0.0


def votes_for(*answers: str) -> Say:
    """Sub-questions and thoughts that go nowhere, and these answers in turn."""

    def say(action: str, number: int, _: random.Random) -> str:
        match action:
            case "subquestion":
                return f"{LAST}: how many?\n" if number == 2 else "What is that?\n"
            case "propose_step" | "rephrase":
                return "So.\n"
        said = answers[number % len(answers)]
        return f"It says {number}: the answer is {said}.\n" if said else "No idea.\n"

    return say


def test_41_and_42_a_solution_is_voted_on_by_32_and_a_sub_answer_by_10_each_by_its_own_question():
    say = votes_for("9", *["7"] * 20, *["8"] * 11)
    run = search(Speaker(say), num_rollouts=1, adaptive_votes=False)
    found = {each.id: (each.votes, each.confidence, each.answer) for each in run.children("0")}
    assert found["0.3"] == (32, 0.625, "7")
    assert [found[f"0.{slot}"][0] for slot in (4, 5, 6)] == [10, 10, 32]
    assert found["0.6"] == (32, 0.625, "7")
    assert found["0.4"][2] is None
    assert run.node("0.3").text == "finish: It says 1: the answer is 7.\n"
    assert run.node("0.3").reward == 0.625


def test_43_votes_without_an_answer_cannot_win_and_count():
    say = votes_for("", "", "", "7", "7", "", "8", "")
    run = search(Speaker(say), num_rollouts=1, adaptive_votes=False)
    node = run.node("0.3")
    assert (node.answer, node.confidence, node.votes) == ("7", 0.25, 32)


def test_a_thought_that_states_the_answer_earns_the_share_of_the_votes_beside_it_that_agree():
    def say(action: str, number: int, _: random.Random) -> str:
        if action == "propose_step":
            return ("The answer is 7.\n", "The answer is 8.\n", "The answer is 9.\n")[number]
        return f"The answer is {'7' if number % 4 else '8'}.\n"

    both = ("propose_step", "finish")
    run = search(Speaker(say), num_rollouts=1, actions=both, adaptive_votes=False)
    assert [each.reward for each in run.children("0")] == [0.75, 0.25, 0.0, 0.75]
    early = search(Speaker(say), num_rollouts=1, actions=both).children("0")
    assert early[3].votes < 32
    assert early[0].reward == early[3].confidence
    assert (early[0].reward or 0) + (early[1].reward or 0) == 1.0
    alone = search(Speaker(say), num_rollouts=1, actions=("propose_step",))
    assert [each.reward for each in alone.children("0")] == pytest.approx([1 / 3] * 3)


def test_the_official_code_lets_a_thought_that_states_the_answer_go_on():
    run = search(Speaker(agreeing(0.8, states=1)), num_rollouts=4, end_at_answer=False)
    node = run.node("0.0")
    assert (node.answer is not None, node.terminal, node.reward) == (True, False, None)


# --- statements 48 to 50


def test_48_a_trace_survives_json():
    run: dict[str, Any] = {}
    policy = Speaker(agreeing(0.8))
    used = RStarSettings(num_rollouts=16, verify="never")
    graph = create_rstar_graph(policy, task=task(), settings=used).compile()
    for update in graph.stream(
        {"question": "How many?"},
        {"recursion_limit": rstar_superstep_limit(used)},
        stream_mode="updates",
    ):
        work: Work | None = (update.get("select") or {}).get("work")
        for expansion in work["expansions"] if work else []:
            path = json.loads(json.dumps(expansion["path"]))
            assert path == expansion["path"]
            assert trace_of("How many?", path) == trace_of("How many?", expansion["path"])
            run[expansion["id"]] = path
    assert any(len(path) > 1 for path in run.values())


@pytest.mark.parametrize("flying", [1, 4])
def test_49_the_same_seed_gives_the_same_tree_and_counters(flying: int):
    def once(seed: int) -> dict[str, Any]:
        run = search(Speaker(agreeing(0.6)), seed=seed, num_rollouts=12, rollouts_in_flight=flying)
        return run.solution.model_dump(exclude={"seconds"})

    assert once(3) == once(3)
    assert once(3) != once(4)


async def test_49_sync_and_async_grow_the_same_tree():
    used = RStarSettings(num_rollouts=12, verify="never")
    graph = create_rstar_graph(Speaker(agreeing(0.6)), task=task(), settings=used).compile()
    config: Any = {"recursion_limit": rstar_superstep_limit(used)}
    blocking = graph.invoke({"question": "How many?"}, config)["solution"]
    waiting = (await graph.ainvoke({"question": "How many?"}, config))["solution"]
    assert {**blocking, "seconds": 0} == {**waiting, "seconds": 0}


class Killed(Exception):  # noqa: N818  # not an error of the program
    """The process ends here."""


@pytest.mark.parametrize("flying", [1, 3])
def test_49_killed_anywhere_and_resumed_the_result_is_that_of_a_run_that_was_not(
    tmp_path, flying: int
):
    used = RStarSettings(num_rollouts=6, verify="never", rollouts_in_flight=flying)
    whole = Speaker(agreeing(0.7))
    expected = search(whole, **used.model_dump(exclude_unset=True)).solution

    class Mortal(Speaker):
        left = 0

        def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
            self.left -= 1
            if self.left == 0:
                raise Killed
            return super().sample(requests)

    for place in range(1, len(whole.calls) + 1, 5):
        policy = Mortal(agreeing(0.7))
        policy.left = place
        with SqliteSaver.from_conn_string(str(tmp_path / f"{flying}.{place}")) as saver:
            graph = create_rstar_graph(policy, task=task(), settings=used).compile(saver)
            config: Any = {
                "configurable": {"thread_id": "one"},
                "recursion_limit": rstar_superstep_limit(used),
            }
            with pytest.raises(Killed):
                graph.invoke({"question": "How many?"}, config, durability="sync")
            resumed = graph.invoke(None, config, durability="sync")["solution"]
        solution = Solution.model_validate(resumed)
        assert solution.model_copy(update={"seconds": 0.0}) == expected.model_copy(
            update={"seconds": 0.0}
        )


def spent_on(action: str) -> tuple[int, int]:
    """Calls and completions of the expansion of the first node made by `action`."""
    used = RStarSettings(num_rollouts=16, verify="never", adaptive_votes=False)
    graph = create_rstar_graph(Speaker(agreeing(0.8, last=0, states=0)), task=task(), settings=used)
    calls = completions = 0
    looking = False
    for update in graph.compile().stream(
        {"question": "How many?"},
        {"recursion_limit": rstar_superstep_limit(used)},
        stream_mode="updates",
    ):
        for name, value in update.items():
            if name == "select":
                if looking:
                    return calls, completions
                made = [
                    each["path"][-1]["action"] if each["path"] else "root"
                    for each in (value.get("work") or {"expansions": []})["expansions"]
                ]
                looking = made == [action]
            elif looking and name in ACTIONS:
                calls += value["usage"]["calls"]
                completions += value["usage"]["completions"]
    raise AssertionError(action)


@pytest.mark.parametrize(
    ("action", "calls", "completions"),
    [
        ("root", 5, 69),
        ("propose_step", 2, 35),
        ("subquestion", 5, 78),
        ("rephrase", 4, 68),
        ("re_answer", 4, 68),
    ],
)
def test_50_what_an_expansion_costs_without_adaptive_votes(
    action: str, calls: int, completions: int
):
    assert spent_on(action) == (calls, completions)


# --- votes that stop when they are decided


def rounds_and_votes(seed: int, *, adaptive: bool) -> tuple[int, float, int]:
    """Rounds of the model, the share of all votes that was drawn, and nodes in the tree."""
    used = RStarSettings(num_rollouts=32, verify="never", adaptive_votes=adaptive)
    graph = create_rstar_graph(Speaker(agreeing(0.8)), task=task(), settings=used).compile()
    rounds = 0
    beside: list[int] = []
    last: Any = None
    for update in graph.stream(
        {"question": "How many?", "seed": seed},
        {"recursion_limit": rstar_superstep_limit(used)},
        stream_mode="updates",
    ):
        for name, value in update.items():
            if name in ACTIONS:
                beside.append(value["usage"].get("calls", 0))
            elif name == "backup":
                rounds += max(beside, default=0)
                beside = []
            elif name == "answer":
                last = value["solution"]
    solution = Solution.model_validate(last)
    voted = [each for each in solution.tree if each.votes]
    asked = [32 if each.terminal else 10 for each in voted]
    return rounds, sum(each.votes for each in voted) / sum(asked), len(solution.tree)


@pytest.mark.parametrize("seed", range(4))
def test_at_80_percent_agreement_three_quarters_of_the_votes_and_80_rounds_are_enough(seed: int):
    rounds, share, _ = rounds_and_votes(seed, adaptive=True)
    assert share <= 0.75
    assert rounds <= 80


def test_without_adaptive_votes_all_are_drawn():
    _, share, _ = rounds_and_votes(0, adaptive=False)
    assert share == 1.0


# --- budgets, and models that do not do as they should


@pytest.mark.parametrize(
    ("budget", "stopped"),
    [
        ({"num_rollouts": 2}, "complete"),
        ({"max_completions": 100}, "completions"),
        ({"max_tokens": 300}, "tokens"),
        ({"max_nodes": 12}, "nodes"),
    ],
)
@pytest.mark.parametrize("flying", [1, 3])
def test_a_budget_that_ends_gives_the_best_answer_so_far_and_the_reason(
    budget: dict[str, Any], stopped: str, flying: int
):
    run = search(Speaker(agreeing(0.9)), budget=budget, num_rollouts=16, rollouts_in_flight=flying)
    assert run.solution.stopped == stopped
    assert run.solution.answer == "7"


@pytest.mark.parametrize(
    ("budget", "stopped", "spent"),
    [
        ({"max_seconds": 1e-9}, "seconds", 0),
        ({"max_completions": 1}, "completions", 1),
        ({"max_tokens": 1}, "tokens", 1),
    ],
)
def test_a_budget_that_is_enough_for_nothing_is_kept_all_the_same(
    budget: dict[str, Any], stopped: str, spent: int
):
    """One completion is the fallback's; what it says may be right or wrong."""
    solution = search(Speaker(agreeing(0.9)), budget=budget).solution
    assert (solution.stopped, solution.usage.completions) == (stopped, spent)
    assert spent or solution.answer is None


def test_an_unknown_budget_is_an_error_that_lists_the_known_ones():
    with pytest.raises(SettingsError, match="unknown budget 'max_pops'; known: num_rollouts"):
        search(Speaker(agreeing(1)), budget={"max_pops": 3})


BAD: dict[str, Say] = {
    "says nothing": lambda *_: "",
    "says blanks": lambda *_: "  \n",
    "says nonsense": lambda *_: "nonsense\n",
    "states no answer": lambda *_: "Hm.\n",
    "never ends a sub-question": lambda *_: "and what of it and what of it",
    "says the same": lambda action, *_: f"{LAST}\n" if action == "subquestion" else "The answer is",
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("flying", [1, 4])
def test_a_policy_without_an_answer_gives_a_solution_without_one(kind: str, flying: int):
    run = search(Speaker(BAD[kind]), num_rollouts=6, rollouts_in_flight=flying)
    assert run.solution.answer is None
    assert run.solution.stopped in {"complete", "exhausted"}
    assert run.events[-1]["type"] == "answered"


def test_a_policy_that_says_nothing_is_not_asked_again_and_again():
    policy = Speaker(BAD["says nothing"])
    run = search(policy, num_rollouts=32)
    assert run.solution.stopped == "exhausted"
    assert run.solution.usage.completions < 100


def test_only_the_fallback_states_an_answer():
    def say(action: str, number: int, _: random.Random) -> str:
        return "" if action != "finish" or number else "The answer is 7.\n"

    speaker = Speaker(say)
    run = search(speaker, actions=("propose_step",), num_rollouts=2)
    assert (run.solution.answer, run.solution.steps[-1].action) == ("7", "finish")
    assert [each.temperature for each in speaker.calls[-1]] == [0.0]
    silent = search(Speaker(say), actions=("propose_step",), num_rollouts=2, fallback=False)
    assert silent.solution.answer is None


def test_failed_and_cut_completions_are_no_steps_and_no_votes():
    class Failing(Speaker):
        def _complete(self, request: SampleRequest, number: int, seed: int) -> Completion:
            said = super()._complete(request, number, seed)
            if number % 3 == 0:
                return replace(said, finish="error")
            return replace(said, finish="length", text=said.text.partition(" is")[0])

    run = search(Failing(agreeing(1.0)), num_rollouts=3)
    assert run.solution.answer is None
    assert not any(each.confidence for each in run.solution.tree)


def test_a_text_that_was_cut_says_only_what_it_has_said_in_full():
    class Cut(Speaker):
        def _complete(self, request: SampleRequest, number: int, seed: int) -> Completion:
            return replace(super()._complete(request, number, seed), finish="length")

    def last_number(text: str) -> str | None:
        return next(iter(re.findall(r"\d+", text)[::-1]), None)

    def say(action: str, number: int, _: random.Random) -> str:
        return "The answer is 7." if number % 4 == 0 else "That makes 12"

    run = search(
        Cut(say),
        asked=task(answer=last_number),
        actions=("finish",),
        adaptive_votes=False,
        num_rollouts=1,
    )
    assert (run.solution.answer, run.node("0.0").confidence) == ("7", 0.25)


def test_a_policy_that_returns_too_few_results_is_a_fault_of_the_model():
    class Short(Speaker):
        def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
            return super().sample(requests)[:-1]

    with pytest.raises(ModelError, match="speaker returned 0 results for 1 requests"):
        search(Short(agreeing(1)))


def test_what_has_no_room_in_the_window_is_not_asked():
    policy = Speaker(agreeing(0.8, states=0), window=90)
    run = search(policy, num_rollouts=16)
    for request in (each for batch in policy.calls for each in batch):
        shown = " ".join([*(text for _, text in request.state.messages), request.state.text])
        assert policy.count_tokens(shown) + request.max_tokens <= 90
    assert run.solution.answer == "7"


def test_a_question_that_leaves_no_room_for_any_action_is_refused():
    with pytest.raises(QuestionError, match="longer than the 80 tokens"):
        search(Speaker(agreeing(0.8), window=80), asked=task(forms=Wordy()))


class Wordy(Forms):
    """Every action is shown with long examples."""

    def _after(self, trace: Trace, *more: Step) -> State:
        state = super()._after(trace, *more)
        return replace(state, messages=(("user", "for example " * 50),))


@pytest.mark.parametrize("option", ["prior", "reward"])
def test_a_setting_that_needs_a_q_value_model_says_so(option: str):
    given: dict[str, Any] = {option: "q_model"}
    with pytest.raises(SettingsError, match="pass q_model="):
        search(Speaker(agreeing(1)), **given)


# --- options that are ours


def test_a_q_value_model_weighs_the_random_choices():
    value = ScriptedScorer(lambda text: float("7" in text))
    both = ("propose_step", "finish")
    weighed = search(Speaker(agreeing(0.5, states=1)), actions=both, q_model=value, prior="q_model")
    assert {run.answer for run in map(weighed.node, weighed.ends[:2])} == {"7"}
    assert {each.q for each in weighed.solution.tree[1:]} == {0.0, 1.0}
    assert any(each["type"] == "scored" for each in weighed.events)


def test_checks_judge_every_step_and_the_solution_carries_the_verdicts():
    def short(_: State, step: str) -> bool:
        return len(step) < 60

    used = RStarSettings(num_rollouts=4, verify="never")
    graph = create_rstar_graph(
        Speaker(agreeing(1.0)), task=task(), settings=used, checks=[short]
    ).compile()
    result = graph.invoke({"question": "How many?"}, {"recursion_limit": 500})
    solution = Solution.model_validate(result["solution"])
    assert {each.checks[0].verdict for each in solution.tree[1:]} == {"passed"}
    assert (solution.verified, solution.verified_by) == (True, ("short",))


def test_rollouts_in_flight_are_expanded_together():
    policies = {flying: Speaker(agreeing(0.8)) for flying in (1, 8)}
    for flying, policy in policies.items():
        run = search(policy, num_rollouts=16, rollouts_in_flight=flying)
        assert run.node("0").visits == 16
    assert len(policies[8].calls) < 0.7 * len(policies[1].calls)


def test_the_text_of_a_solution_has_sub_questions_with_their_answers():
    run = search(Speaker(agreeing(1.0, last=1.0)), actions=("subquestion", "re_answer"))
    assert run.solution.text == (f"subquestion: {LAST}: how many?\nanswer: The answer is 7.\n")
    (step,) = run.solution.steps
    assert step.visits == run.node(str(step.id)).visits


@hypothesis_settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    agree=st.floats(0, 1),
    last=st.floats(0, 1),
    states=st.floats(0, 1),
    used=st.fixed_dictionaries(
        {},
        optional={
            "num_rollouts": st.integers(1, 10),
            "max_depth": st.integers(1, 4),
            "num_steps": st.integers(1, 3),
            "num_subquestions": st.integers(1, 2),
            "num_votes": st.integers(1, 5),
            "num_last_votes": st.integers(1, 6),
            "rollouts_in_flight": st.integers(1, 4),
            "schedule": st.sampled_from(["const", "lin", "exp"]),
            "adaptive_votes": st.booleans(),
            "end_at_answer": st.booleans(),
            "subquestion_after_step": st.booleans(),
            "actions": st.sets(st.sampled_from(ACTIONS), min_size=1).map(tuple),
        },
    ),
)
def test_whatever_the_settings_visits_add_up_and_rewards_are_bounded(
    seed: int, agree: float, last: float, states: float, used: dict[str, Any]
):
    run = search(Speaker(agreeing(agree, last=last, states=states)), seed=seed, **used)
    ends = Counter(run.ends)
    for node in run.solution.tree:
        below = sum(each.visits for each in run.children(node.id))
        assert node.visits == below + ends[node.id]
        assert 0 <= (node.value or 0.0) <= node.visits
        assert 0 <= (node.reward or 0.0) <= 1
    if run.solution.stopped == "complete":
        assert run.node("0").visits == used.get("num_rollouts", 8)


def test_a_solution_without_an_answer_earns_nothing_whatever_its_q_value():
    sure = ScriptedScorer(lambda _: 1.0)
    run = search(Speaker(lambda *_: "Hm.\n"), actions=("finish",), q_model=sure, reward="q_model")
    assert (run.node("0.0").q, run.node("0.0").reward, run.node("0").value) == (1.0, 0.0, 0.0)


@dataclass
class Together(Speaker):
    """Waits until all four actions that may come first have asked."""

    met: threading.Barrier = field(default_factory=lambda: threading.Barrier(4, timeout=30))
    ameeting: asyncio.Barrier = field(default_factory=lambda: asyncio.Barrier(4))

    def starts(self, requests: Sequence[SampleRequest]) -> bool:
        return not requests[0].state.steps and not requests[0].prefill.startswith("answer")

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        if self.starts(requests):
            self.met.wait()
        return super().sample(requests)

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        if self.starts(requests):
            await asyncio.wait_for(self.ameeting.wait(), 30)
        return super().sample(requests)


async def test_all_actions_of_an_expansion_reach_the_model_together():
    used = RStarSettings(num_rollouts=1, verify="never", adaptive_votes=False)
    config: Any = {"recursion_limit": rstar_superstep_limit(used)}
    starting: Any = {"question": "How many?"}

    def say(action: str, number: int, chance: random.Random) -> str:
        return f"{LAST}\n" if action == "subquestion" else agreeing(1.0)(action, number, chance)

    def graph() -> Any:
        return create_rstar_graph(Together(say), task=task(), settings=used).compile()

    waited = (await graph().ainvoke(starting, config))["solution"]
    blocked = await asyncio.to_thread(graph().invoke, starting, config)
    assert {**waited, "seconds": 0} == {**blocked["solution"], "seconds": 0}


# --- a solution that ended without an answer is asked for it once


def silent(action: str, _: int, chance: random.Random) -> str:
    """A model that says its answers only when it is asked for them."""
    match action:
        case "subquestion":
            return f"{LAST}: how many?\n" if chance.random() < 0.5 else "What is that?\n"
        case "The answer is":
            return " 7.\n"
        case "propose_step":
            return f"So it is {chance.randint(0, 99)}.\n"
    return chance.choice(("That is all.\n", "Done.\n"))


def test_votes_on_whole_solutions_and_last_answers_are_asked_for_their_answers():
    asks = task(answer_prefill="The answer is")
    policy = Speaker(silent)
    run = search(policy, asked=asks, num_rollouts=4)
    ends = [node for node in run.solution.tree if node.terminal]
    assert {node.action for node in ends} == {"finish", "subquestion"}
    assert {node.answer for node in ends} == {"7"}
    assert all(node.text.endswith("\nThe answer is 7.\n") for node in ends)
    assert run.solution.answer == "7"
    batches = [batch for batch in policy.calls if batch[0].prefill == "The answer is"]
    assert batches
    assert {each.temperature for batch in batches for each in batch} == {0.0}
    # Those that say the same are asked once.
    assert all(len(each.seeds) == 1 for batch in batches for each in batch)
    assert all(len({each.state.text for each in batch}) == len(batch) for batch in batches)
    others = [node for node in run.solution.tree if not node.terminal]
    assert [node for node in others if node.action == "subquestion"]
    assert not [node for node in others if "answer is" in node.text]
    drawn = sum(len(each.seeds) for batch in policy.calls for each in batch)
    assert run.solution.usage.completions == drawn


def test_a_guessed_winner_says_so_and_is_not_asked():
    policy = Speaker(silent)
    guesses = task(answer_prefill="The answer is", guess=lambda text: "7")
    run = search(policy, asked=guesses, num_rollouts=2)
    assert (run.solution.answer, run.solution.guessed) == ("7", True)
    assert not [batch for batch in policy.calls if batch[0].prefill == "The answer is"]


def test_the_completion_of_a_search_that_found_nothing_is_asked_too():
    policy = Speaker(silent)
    asks = task(answer_prefill="The answer is")
    run = search(policy, asked=asks, num_rollouts=1, actions=("propose_step",), max_depth=1)
    assert run.solution.answer == "7"
    assert run.solution.steps[-1].text.endswith("\nThe answer is 7.\n")
