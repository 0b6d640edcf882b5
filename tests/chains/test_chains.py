"""The chains as Runnables: inputs, outputs, limits, streams, threads."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tracers import BaseTracer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

from langchain_qstar.chains import (
    BestOfNChain,
    GreedyChain,
    QStarChain,
    SelfConsistencyChain,
    SolverChain,
)
from langchain_qstar.errors import ModelError, QuestionError, SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Task
from langchain_qstar.settings import QStarSettings
from langchain_qstar.solution import Solution

TASK = Task(
    name="letters",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.split()[-1],
    is_terminal=lambda text: any(character.isdigit() for character in text),
)
SCRIPT = {"": ["a\n", "b\n"], "a\n": ["a1\n", "a2\n"], "b\n": ["b1\n", "b2\n"]}
VALUES = {"a": 0.2, "b": 0.9, "a1": 0.3, "a2": 0.1, "b1": 0.95, "b2": 0.1}


def deep(text: str) -> list[str]:
    """A tree of 2 steps a state that has its only answers 14 steps down."""
    level = text.count("\n")
    return ["x1\n"] if level >= 14 else [f"{'l' * level}p\n", f"{'l' * level}q\n"]


def chain(script: Any = SCRIPT, **options: Any) -> QStarChain:
    return QStarChain(
        ScriptedPolicy(script),
        options.pop("q_model", ScriptedScorer(VALUES)),
        task=TASK,
        **{"settings": {"num_trajectories": 1}, **options},
    )


def deep_chain(**options: Any) -> QStarChain:
    """More supersteps than LangChain's default recursion limit of 25 allows."""
    return chain(deep, q_model=None, **options)


def tree_of(solution: Solution) -> Solution:
    return solution.model_copy(update={"seconds": 0.0})


# --- inputs


@pytest.mark.parametrize(
    "value",
    [
        "why?",
        {"question": "why?"},
        {"question": "why?", "seed": None, "max_pops": None},
        HumanMessage("why?"),
        [SystemMessage("be brief"), HumanMessage("what?"), AIMessage("?"), HumanMessage("why?")],
        [("user", "why?")],
        {"messages": [{"role": "user", "content": "why?"}]},
        {"messages": [HumanMessage([{"type": "text", "text": "why?"}])]},
        ChatPromptTemplate.from_messages([("system", "s"), ("human", "why?")]).invoke({}),
    ],
)
def test_a_question_may_come_in_any_usual_form(value: Any):
    solution = chain().invoke(value)
    assert (solution.question, solution.answer) == ("why?", "b1")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "empty"),
        ("a\x00", "position 1"),
        (7, "int"),
        (None, "NoneType"),
        ({}, "no 'question'"),
        ({"question": 7}, "must be text"),
        ([AIMessage("hm")], "no human message"),
        ([object()], "not a list of messages"),
        ([], "no human message"),
        (HumanMessage([{"type": "image", "url": "https://a.b/c.png"}]), "reads text only"),
        (HumanMessage([{"type": "audio", "url": "https://a.b/c.wav"}]), "audio content"),
        ({"question": "q", "images": {"type": "image"}}, "list of content blocks"),
        ({"question": "q", "images": ["x"]}, "no content block"),
        ({"question": "q", "images": [{"type": "image"}]}, "one of url, base64, file_id"),
    ],
)
def test_what_is_not_a_question_is_a_question_error(value: Any, says: str):
    with pytest.raises(QuestionError, match=says):
        chain().invoke(value)


def test_seed_and_budgets_come_by_keyword_by_key_and_by_bind():
    qstar = chain()
    for solution in (
        qstar.invoke("q", seed=5, max_pops=2),
        qstar.invoke({"question": "q", "seed": 5, "max_pops": 2}),
        qstar.invoke({"question": "q", "seed": 4, "max_pops": 2}, seed=5),
        qstar.bind(seed=5, max_pops=2).invoke("q"),
        qstar.batch(["q"], seed=5, max_pops=2)[0],
        list(qstar.stream("q", seed=5, max_pops=2))[-1],
    ):
        assert (solution.seed, solution.stopped) == (5, "pops")
        assert solution.settings["max_pops"] == 2


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"max_poops": 3}, "max_poops"),
        ({"temperature": 0.5}, "temperature"),
        ({"max_pops": 0}, "max_pops"),
        ({"max_seconds": -1.0}, "max_seconds"),
        ({"seed": "x"}, "seed"),
        ({"seed": True}, "seed"),
    ],
)
def test_an_override_that_cannot_be_used_is_one_line(overrides: dict[str, Any], says: str):
    for call in (
        lambda: chain().invoke("q", **overrides),
        lambda: chain().invoke({"question": "q", **overrides}),
    ):
        with pytest.raises(SettingsError, match=says) as error:
            call()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {"settings": {"num_sample": 3}},
        {"settings": {"lam": -1}},
        {"output": "json"},
        {"seed": 1.5},
    ],
)
def test_a_constructor_argument_that_cannot_be_used_is_a_settings_error(options: dict[str, Any]):
    with pytest.raises(SettingsError):
        chain(**options)


def test_a_q_model_may_be_a_plain_function():
    seen: list[tuple[str, list[str]]] = []

    def q(state: Any, steps: Any) -> list[float]:
        seen.append((state.text, list(steps)))
        return [VALUES[step.strip()] for step in steps]

    assert chain(q_model=q).invoke("q").answer == "b1"
    assert seen == [("", ["a\n", "b\n"]), ("b\n", ["b1\n", "b2\n"])]


def test_another_policy_than_the_bundled_one_gets_another_default_task():
    assert QStarChain(ScriptedPolicy({}, logprob=-0.1)).task.name == "gsm8k"


# --- outputs


def test_output_text_is_the_chosen_trajectory():
    assert chain(output="text").invoke("q") == "b\nb1\n"


def test_output_message_carries_answer_and_usage_but_not_the_tree():
    message = chain(output="message").invoke("q")
    assert isinstance(message, AIMessage)
    assert message.content == "b\nb1\n"
    assert message.response_metadata["answer"] == "b1"
    assert message.response_metadata["model_name"] == "scripted"
    assert "tree" not in message.response_metadata
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == 12
    json.dumps(message.response_metadata)


def test_a_solution_round_trips_through_json():
    solution = chain().invoke("q")
    assert Solution.model_validate_json(solution.model_dump_json()) == solution


def test_a_solution_tells_what_made_it():
    solution = chain(seed=11).invoke("q")
    assert (solution.method, solution.policy, solution.q_model) == ("qstar", "scripted", "scripted")
    assert (solution.task, solution.seed) == ("letters", 11)
    assert solution.settings == QStarSettings(num_trajectories=1).model_dump(mode="json")
    assert [step.q for step in solution.steps] == [0.9, 0.95]
    assert [node.popped for node in solution.tree] == [0, None, 1, 2, None]
    assert [node.visits for node in solution.tree] == [1, 0, 1, 1, 0]
    assert solution.seconds > 0


# --- async


async def test_async_gives_the_same_as_sync():
    assert tree_of(await chain().ainvoke("q")) == tree_of(chain().invoke("q"))
    (solution,) = await chain().abatch(["q"])
    assert tree_of(solution) == tree_of(chain().invoke("q"))


# --- batches


def test_a_batch_works_on_sixteen_questions_together():
    together = threading.Barrier(16, timeout=20)

    class Meeting(ScriptedPolicy):
        def sample(self, requests: Any) -> Any:
            together.wait()
            return super().sample(requests)

    qstar = QStarChain(Meeting({"": ["x1\n"]}), None, task=TASK, settings={"num_trajectories": 1})
    solutions = qstar.batch([f"question {number}" for number in range(16)])
    assert [solution.question for solution in solutions] == [f"question {n}" for n in range(16)]


async def test_abatch_works_on_sixteen_questions_together():
    together = asyncio.Barrier(16)

    class Meeting(ScriptedPolicy):
        async def asample(self, requests: Any) -> Any:
            await asyncio.wait_for(together.wait(), 20)
            return super().sample(requests)

    qstar = QStarChain(Meeting({"": ["x1\n"]}), None, task=TASK, settings={"num_trajectories": 1})
    assert len(await qstar.abatch([f"question {number}" for number in range(16)])) == 16


async def test_abatch_works_on_as_many_questions_as_fill_the_engine_of_the_policy():
    together = asyncio.Barrier(36)  # half as many again as the 24 whose 4 samples are 96 rows

    class Meeting(ScriptedPolicy):
        full_rows = 96

        async def asample(self, requests: Any) -> Any:
            await asyncio.wait_for(together.wait(), 20)
            return super().sample(requests)

    settings = {"num_trajectories": 1, "num_samples": 4}
    qstar = QStarChain(Meeting({"": ["x1\n"]}), None, task=TASK, settings=settings)
    assert len(await qstar.abatch([f"question {number}" for number in range(36)])) == 36


@pytest.mark.parametrize(("rows", "expected"), [(0, 16), (40, 60), (384, 128)])
def test_a_batch_is_never_small_nor_without_bound(rows: int, expected: int):
    policy = ScriptedPolicy(SCRIPT)
    policy.full_rows = rows  # type: ignore[attr-defined]
    assert GreedyChain(policy, task=TASK)._together() == expected
    assert SelfConsistencyChain(policy, task=TASK, n=64)._together() == 16


async def test_sixty_four_questions_at_once_do_not_disturb_each_other():
    questions = [f"question {number}" for number in range(64)]
    qstar = deep_chain()
    expected = [tree_of(qstar.invoke(question)) for question in questions[:2]]
    for solutions in (
        await asyncio.to_thread(qstar.batch, questions, {"max_concurrency": 64}),
        await qstar.abatch(questions, {"max_concurrency": 64}),
    ):
        assert [solution.question for solution in solutions] == questions
        assert [tree_of(solution) for solution in solutions[:2]] == expected
        assert (
            len(
                {
                    tree_of(each).model_copy(update={"question": ""}).model_dump_json()
                    for each in solutions
                }
            )
            == 1
        )


def test_max_concurrency_of_the_caller_holds():
    running = 0
    most = 0
    lock = threading.Lock()

    class Counting(ScriptedPolicy):
        def sample(self, requests: Any) -> Any:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            try:
                return super().sample(requests)
            finally:
                with lock:
                    running -= 1

    qstar = QStarChain(Counting(SCRIPT), None, task=TASK)
    qstar.batch([f"q{number}" for number in range(8)], {"max_concurrency": 1})
    assert most == 1


def test_a_batch_returns_the_exceptions_of_single_questions():
    good, bad = chain().batch(["q", ""], return_exceptions=True)
    assert good.answer == "b1"
    assert isinstance(bad, QuestionError)


# --- streams


def test_a_stream_tells_the_beats_of_the_search_and_ends_with_the_solution():
    *events, solution = chain().stream("q")
    assert [event["type"] for event in events] == [
        *["selected", "proposed", "scored"] * 2,
        "selected",
        "answered",
    ]
    assert events[0] == {
        "type": "selected",
        "nodes": [{"id": "0", "text": "", "f": 0.0, "terminal": False}],
        "open": 0,
    }
    assert events[1]["parents"] == ["0"]
    assert [node["samples"] for node in events[1]["nodes"]] == [3, 3]
    assert [(node["text"], node["q"], node["f"]) for node in events[2]["nodes"]] == [
        ("a\n", 0.2, 0.2),
        ("b\n", 0.9, 0.9),
    ]
    assert events[-1] == {"type": "answered", "id": "0.1.0", "answer": "b1", "stopped": "complete"}
    assert tree_of(solution) == tree_of(chain().invoke("q"))


async def test_astream_tells_the_same():
    streamed = [item async for item in chain().astream("q")]
    expected = list(chain().stream("q"))
    assert streamed[:-1] == expected[:-1]
    assert tree_of(streamed[-1]) == tree_of(expected[-1])


def test_a_stream_can_be_left_early():
    stream = chain().stream("q")
    assert next(stream)["type"] == "selected"
    stream.close()  # type: ignore[attr-defined]


async def test_astream_events_have_one_root_whose_output_is_the_solution():
    events = [event async for event in chain().astream_events("q", version="v2")]
    roots = [event for event in events if not event["parent_ids"]]
    assert {event["name"] for event in roots} == {"QStarChain"}
    assert len({event["run_id"] for event in roots}) == 1
    assert isinstance(roots[-1]["data"]["output"], Solution)
    names = {event["name"] for event in events}
    assert {"select", "propose_step", "score_with_q", "answer"} <= names
    chunks = [event for event in roots if event["event"] == "on_chain_stream"]
    assert chunks[0]["data"]["chunk"]["type"] == "selected"


def test_in_a_streamed_pipe_only_the_result_flows_on():
    pipe = chain(output="text") | StrOutputParser() | (lambda text: text.upper())
    assert list(pipe.stream("q")) == ["B\nB1\n"]
    assert pipe.invoke("q") == "B\nB1\n"


async def test_in_an_async_streamed_pipe_only_the_result_flows_on():
    pipe = RunnableLambda(lambda text: text) | chain(output="message") | StrOutputParser()
    assert [item async for item in pipe.astream("q")] == ["b\nb1\n"]


class Runs(BaseCallbackHandler):
    def __init__(self) -> None:
        self.roots: list[str] = []
        self.ends: list[Any] = []
        self.errors: list[BaseException] = []

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, parent_run_id: Any = None, **more: Any
    ):
        if parent_run_id is None:
            self.roots.append(more["name"])

    def on_chain_end(self, outputs: Any, *, parent_run_id: Any = None, **more: Any):
        if parent_run_id is None:
            self.ends.append(outputs)

    def on_chain_error(self, error: BaseException, *, parent_run_id: Any = None, **more: Any):
        if parent_run_id is None:
            self.errors.append(error)


def test_a_call_is_one_root_run():
    runs = Runs()
    solution = chain().invoke("q", {"callbacks": [runs]})
    assert runs.roots == ["QStarChain"]
    assert runs.ends == [solution]


def test_a_failed_call_is_one_failed_root_run():
    runs = Runs()
    with pytest.raises(QuestionError):
        chain().invoke("", {"callbacks": [runs]})
    assert len(runs.roots) == len(runs.errors) == 1


def test_a_run_name_is_kept():
    runs = Runs()
    chain().invoke("q", {"callbacks": [runs], "run_name": "mine"})
    assert runs.roots == ["mine"]


def test_no_node_but_root_select_and_answer_reads_the_tree():
    inputs: dict[str, set[str]] = {}
    for task in chain().graph.stream({"question": "q"}, stream_mode="tasks"):
        if "input" in task:
            inputs[task["name"]] = set(task["input"])
    readers = {name for name, keys in inputs.items() if keys & {"nodes", "stats"}}
    assert readers == {"root", "select", "answer"}


class Recording(BaseTracer):
    """Keeps what a tracing service would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.runs.append(run)


def test_a_trace_holds_what_each_node_wrote_but_not_the_tree_again_and_again():
    tracer = Recording()
    deep_chain().invoke("q", {"callbacks": [tracer]})
    (root,) = tracer.runs
    (graph,) = root.child_runs
    sizes: dict[str, list[int]] = {}
    for node in graph.child_runs:
        assert not {"work", "frontier"} & (node.inputs.keys() | node.outputs.keys())
        assert not {"nodes", "stats"} & node.inputs.keys()
        sizes.setdefault(node.name, []).append(len(repr((node.inputs, node.outputs))))
    first, last = sizes["propose_step"][1], sizes["propose_step"][-2]
    assert last < 2 * first
    proposals = [node for node in graph.child_runs if node.name == "propose_step"]
    assert [node.inputs["popped"] for node in proposals][:2] == [["0"], ["0.0"]]


# --- threads


THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}


@pytest.fixture
def mortal_scorer(killed: type[BaseException]) -> Any:
    """Scorers that die at one of their calls, once; at none without a number."""

    class MortalScorer(ScriptedScorer):
        def __init__(self, dies_at: int = -1) -> None:
            super().__init__(spread)
            self.dies_at = dies_at

        def score(self, requests: Any) -> Any:
            result = super().score(requests)
            if len(self.calls) - 1 == self.dies_at:
                raise killed
            return result

    return MortalScorer


def spread(text: str) -> float:
    return sum(map(ord, text)) % 7 / 7


def wide(text: str) -> list[str]:
    """Steps of which a fifth end, three levels deep."""
    level = text.count("\n")
    return [f"{text[-2:-1]}{c}{'7' * (level == 3)}\n" for c in "abcdef"]


@pytest.mark.parametrize("h_mode", ["edge", "lookahead"])
@pytest.mark.parametrize("dies_at", [0, 1, 3])
@pytest.mark.parametrize("dies", ["policy", "scorer"])
def test_a_killed_search_resumes_to_the_same_tree_and_repeats_no_finished_expansion(
    saver: Any,
    dies: str,
    dies_at: int,
    h_mode: str,
    mortal_policy: Any,
    mortal_scorer: Any,
    killed: Any,
):
    settings = QStarSettings(num_trajectories=25, h_mode=h_mode, max_pops=40, batch_pops=2)

    def made(policy: Any, scorer: Any, checkpointer: Any) -> QStarChain:
        return QStarChain(policy, scorer, task=TASK, settings=settings, checkpointer=checkpointer)

    whole = made(ScriptedPolicy(wide), mortal_scorer(), None).invoke("q", seed=3)
    policy = mortal_policy(wide, dies_at if dies == "policy" else -1)
    scorer = mortal_scorer(dies_at if dies == "scorer" else -1)
    with pytest.raises(killed):
        made(policy, scorer, saver).invoke("q", THREAD, seed=3)
    resumed = made(policy, scorer, saver).invoke("q", THREAD, seed=3)
    assert _grown(resumed) == _grown(whole)
    sampled = [request.state.text for batch in policy.calls for request in batch]
    # what was in flight when the policy died is asked again, nothing else; in the
    # first round of lookahead that is two batches, the root and its children
    first = 0 if h_mode == "lookahead" and dies_at == 1 else dies_at
    in_flight = policy.calls[first : dies_at + 1] if dies == "policy" else []
    assert len(sampled) - len(set(sampled)) == sum(len(batch) for batch in in_flight)
    assert resumed.usage.completions == whole.usage.completions
    assert resumed.usage.completion_tokens == whole.usage.completion_tokens


def _grown(solution: Solution) -> Any:
    return (solution.tree, solution.answer, solution.steps, solution.stopped, solution.votes)


KILLED = """
import os, sys
from langgraph.checkpoint.sqlite import SqliteSaver
from langchain_qstar.chains import QStarChain
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.protocols import Task

class Mortal(ScriptedPolicy):
    def sample(self, requests):
        print(requests[0].state.text.split(), flush=True)
        if len(self.calls) == int(sys.argv[2]):
            os._exit(9)
        return super().sample(requests)

def wide(text):
    return [f"{text[-2:-1]}{c}{'7' * (len(text.split()) == 3)}\\n" for c in "abc"]

policy = Mortal(wide)
task = Task("t", lambda q: (("user", q),), lambda t: t.split()[-1], lambda t: "7" in t)
with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
    thread = {"configurable": {"thread_id": "t"}}
    chain = QStarChain(policy, None, task=task, checkpointer=saver)
    print(chain.invoke("q", thread).model_dump_json(exclude={"seconds"}))
"""


def test_a_process_that_is_killed_leaves_a_thread_that_another_process_finishes(tmp_path: Path):
    pytest.importorskip("langgraph.checkpoint.sqlite")

    def process(database: str, dies_at: int) -> tuple[int, list[str]]:
        argv = [sys.executable, "-c", KILLED, str(tmp_path / database), str(dies_at)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    _, whole = process("whole", -1)
    code, first = process("killed", 4)
    _, second = process("killed", -1)
    assert code == 9
    assert [*first[:-1], *second] == whole
    assert first[-1] == second[0]


async def test_an_async_search_resumes_too(tmp_path: Path):
    aio = pytest.importorskip("langgraph.checkpoint.sqlite.aio")
    whole = QStarChain(ScriptedPolicy(wide), ScriptedScorer(spread), task=TASK).invoke("q")

    class Failing(ScriptedPolicy):
        async def asample(self, requests: Any) -> Any:
            result = self.sample(requests)
            if len(self.calls) == 3:
                raise ModelError("out of memory")
            return result

    async with aio.AsyncSqliteSaver.from_conn_string(str(tmp_path / "t.sqlite")) as saver:
        policy = Failing(wide)
        qstar = QStarChain(policy, ScriptedScorer(spread), task=TASK, checkpointer=saver)
        with pytest.raises(ModelError):
            await qstar.ainvoke("q", THREAD)
        items = [item async for item in qstar.astream("q", THREAD)]
    assert _grown(items[-1]) == _grown(whole)
    sampled = [request.state.text for batch in policy.calls for request in batch]
    assert len(sampled) - len(set(sampled)) == 1


def test_inside_another_graph_it_resumes_with_that_graph(mortal_policy: Any, killed: Any):
    policy = mortal_policy(wide, 3)
    inner = QStarChain(policy, ScriptedScorer(spread), task=TASK)

    def solve(state: Any) -> Any:
        return {"answer": inner.invoke(state["question"]).answer}

    class Outer(TypedDict, total=False):
        question: str
        answer: str | None

    builder = StateGraph(Outer)
    builder.add_node("solve", solve)
    builder.add_edge(START, "solve")
    outer = builder.compile(checkpointer=InMemorySaver())
    with pytest.raises(killed):
        outer.invoke({"question": "q"}, THREAD)
    result = outer.invoke(None, THREAD)
    assert (
        result["answer"]
        == QStarChain(ScriptedPolicy(wide), ScriptedScorer(spread), task=TASK).invoke("q").answer
    )
    sampled = [request.state.text for batch in policy.calls for request in batch]
    assert len(sampled) - len(set(sampled)) == 1


def test_a_finished_thread_answers_the_same_question_again(saver: Any):
    qstar = chain(checkpointer=saver)
    assert tree_of(qstar.invoke("q", THREAD)) == tree_of(qstar.invoke("q", THREAD))


def test_a_checkpointed_chain_without_a_thread_says_how_to_name_one():
    with pytest.raises(SettingsError, match="thread_id"):
        chain(checkpointer=InMemorySaver()).invoke("q")


def test_nothing_derived_is_stored(saver: Any):
    qstar = chain(checkpointer=saver)
    qstar.invoke("q", THREAD)
    stored = set(qstar.graph.get_state(THREAD).values)
    assert stored == {"nodes", "stats", "usage", "collected", "answer", "stopped"}


# --- baselines as chains


ROLLED = {"": ["a\nx1\n", "b\ny2\n", "b\ny2\n"]}


@pytest.mark.parametrize(
    ("solver", "answer", "method"),
    [
        (GreedyChain, "x1", "greedy"),
        (SelfConsistencyChain, "y2", "self-consistency"),
        (BestOfNChain, "x1", "best-of-n"),
    ],
)
async def test_a_baseline_is_a_chain_like_any_other(
    solver: type[SolverChain], answer: str, method: str
):
    options: dict[str, Any] = {} if solver is GreedyChain else {"n": 3}
    if solver is BestOfNChain:
        options["q_model"] = ScriptedScorer({"x1": 1.0, "a": 1.0})
    made = solver(ScriptedPolicy(ROLLED), task=TASK, **options)
    solution = made.invoke({"question": "q", "seed": 7})
    assert (solution.answer, solution.method, solution.seed) == (answer, method, 7)
    assert tree_of(await made.ainvoke("q", seed=7)) == tree_of(solution)
    assert [tree_of(item) for item in made.stream("q", seed=7)] == [tree_of(solution)]
    with pytest.raises(QuestionError):
        made.invoke(" ")
    with pytest.raises(SettingsError, match="max_pops"):
        made.invoke("q", max_pops=3)


def test_best_of_n_without_a_scorer_is_an_error():
    with pytest.raises(SettingsError, match="q_model"):
        BestOfNChain(ScriptedPolicy({}), None, task=TASK)
