"""Every chain that is a machine is a Runnable in every way that LangChain calls one.

The tests know the chain by their parameter only: another machine is one more entry of
`MACHINES`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.runnables import (
    RunnableBranch,
    RunnableConfig,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.tracers import BaseTracer
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, StateGraph

from langchain_qstar.chains import QStarChain, RStarChain, SolverChain
from langchain_qstar.errors import ModelError, QuestionError
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.protocols import Task
from langchain_qstar.solution import Solution

TASK = Task(
    name="letters",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.split()[-1],
    is_terminal=lambda text: any(character.isdigit() for character in text),
)


def deep(text: str) -> list[str]:
    """A tree of 2 steps a state that has its only answers 14 steps down."""
    level = text.count("\n")
    return ["x1\n"] if level >= 14 else [f"{'l' * level}p\n", f"{'l' * level}q\n"]


def short(text: str) -> list[str]:
    """What nano's actions get: two steps to an answer, to be found by many rollouts."""
    for opening in ("Q:", "Rephrase:"):
        if text.rpartition("\n")[2].startswith(opening):
            return [" How many?\n"]
    if "=6" in text:
        return ["" if "The answer is" in text else "The answer is 6.\n"]
    return [" 2*3=6.\n"]


def qstar(policy: Any = None, **options: Any) -> SolverChain:
    policy = policy or ScriptedPolicy(deep)
    return QStarChain(policy, None, task=TASK, settings={"num_trajectories": 1}, **options)


def rstar(policy: Any = None, **options: Any) -> SolverChain:
    settings = {"num_rollouts": 12, "num_votes": 2, "num_last_votes": 2, "verify": "never"}
    return RStarChain(policy or ScriptedPolicy(short), task="nano", settings=settings, **options)


class Machine(NamedTuple):
    """A machine that needs more supersteps than LangChain's default limit of 25."""

    make: Callable[..., Any]
    script: Callable[[str], list[str]]
    answer: str


MACHINES = {
    "QStarChain": Machine(qstar, deep, "x1"),
    "RStarChain": Machine(rstar, short, "6"),
}


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> Machine:
    return MACHINES[request.param]


@pytest.fixture
def chain(machine: Machine) -> Any:
    return machine.make()


def fail(_: Any) -> Any:
    raise ValueError


def inside(chain: SolverChain) -> Callable[[str], Any]:
    def call(question: str) -> Any:
        return chain.invoke(question)

    return call


def inside_with_config(chain: SolverChain) -> Callable[[str, RunnableConfig], Any]:
    def call(question: str, config: RunnableConfig) -> Any:
        return chain.invoke(question, config)

    return call


class Outer(TypedDict, total=False):
    question: str
    solution: Any


def node(chain: SolverChain) -> Any:
    """A graph around the chain, which is called in one of its nodes."""
    builder = StateGraph(Outer)
    builder.add_node("solve", lambda state: {"solution": chain.invoke(state["question"])})
    builder.add_edge(START, "solve")
    return builder.compile()


async def drawn(items: Any) -> list[Any]:
    return [item async for item in items]


SMALL: RunnableConfig = {"recursion_limit": 3}
CALLS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda chain: chain.invoke("q"),
    "invoke_with_a_small_limit": lambda chain: chain.invoke("q", SMALL),
    "batch": lambda chain: chain.batch(["q", "q"])[1],
    "batch_with_small_limits": lambda chain: chain.batch(["q", "q"], [SMALL, SMALL])[1],
    "batch_as_completed": lambda chain: next(iter(chain.batch_as_completed(["q"])))[1],
    "stream": lambda chain: list(chain.stream("q"))[-1],
    "stream_with_a_small_limit": lambda chain: list(chain.stream("q", SMALL))[-1],
    "transform": lambda chain: list(chain.transform(iter(["q"])))[-1],
    "pipe": lambda chain: (RunnableLambda(lambda text: text) | chain).invoke("q"),
    "pipe_on": lambda chain: (chain | RunnableLambda(lambda solution: solution)).invoke("q"),
    "pipe_method": lambda chain: chain.pipe(lambda solution: solution).invoke("q"),
    "pipe_streamed": lambda chain: list((RunnableLambda(lambda text: text) | chain).stream("q"))[
        -1
    ],
    "pipe_batched": lambda chain: (RunnableLambda(lambda text: text) | chain).batch(["q"])[0],
    "parallel": lambda chain: RunnableParallel(a=chain, b=chain).invoke("q")["b"],
    "assign": lambda chain: RunnablePassthrough.assign(s=chain).invoke({"question": "q"})["s"],
    "branch": lambda chain: RunnableBranch((bool, chain), chain).invoke("q"),
    "map": lambda chain: chain.map().invoke(["q"])[0],
    "bind": lambda chain: chain.bind(seed=1).invoke("q"),
    "with_config": lambda chain: chain.with_config(tags=["t"]).invoke("q"),
    "with_config_of_a_small_limit": lambda chain: chain.with_config(recursion_limit=3).invoke("q"),
    "with_config_batched": lambda chain: chain.with_config(tags=["t"]).batch(["q"])[0],
    "with_retry": lambda chain: chain.with_retry().invoke("q"),
    "with_retry_batched": lambda chain: chain.with_retry().batch(["q"])[0],
    "with_fallbacks": lambda chain: chain.with_fallbacks([chain]).invoke("q"),
    "with_fallbacks_streamed": lambda chain: list(chain.with_fallbacks([chain]).stream("q"))[-1],
    "as_a_fallback": lambda chain: RunnableLambda(fail).with_fallbacks([chain]).invoke("q"),
    "with_listeners": lambda chain: chain.with_listeners(on_end=print).invoke("q"),
    "with_types": lambda chain: chain.with_types(input_type=str).invoke("q"),
    "lambda": lambda chain: RunnableLambda(inside(chain)).invoke("q"),
    "lambda_config": lambda chain: RunnableLambda(inside_with_config(chain)).invoke("q"),
    "node": lambda chain: node(chain).invoke({"question": "q"})["solution"],
    "node_batched": lambda chain: node(chain).batch([{"question": "q"}])[0]["solution"],
    "tool": lambda chain: chain.as_tool(name="a", description="b").invoke({"question": "q"}),
    "ainvoke": lambda chain: asyncio.run(chain.ainvoke("q")),
    "ainvoke_with_a_small_limit": lambda chain: asyncio.run(chain.ainvoke("q", SMALL)),
    "abatch": lambda chain: asyncio.run(chain.abatch(["q"]))[0],
    "abatch_as_completed": lambda chain: asyncio.run(drawn(chain.abatch_as_completed(["q"])))[0][1],
    "astream": lambda chain: asyncio.run(drawn(chain.astream("q")))[-1],
    "astream_events": lambda chain: asyncio.run(drawn(chain.astream_events("q", version="v2")))[-1][
        "data"
    ]["output"],
    "apipe": lambda chain: asyncio.run((RunnableLambda(lambda text: text) | chain).ainvoke("q")),
    "awith_retry": lambda chain: asyncio.run(chain.with_retry().ainvoke("q")),
    "awith_fallbacks": lambda chain: asyncio.run(chain.with_fallbacks([chain]).ainvoke("q")),
    "alambda": lambda chain: asyncio.run(RunnableLambda(chain.ainvoke).ainvoke("q")),
    "anode": lambda chain: asyncio.run(node(chain).ainvoke({"question": "q"}))["solution"],
    "atool": lambda chain: asyncio.run(
        chain.as_tool(name="a", description="b").ainvoke({"question": "q"})
    ),
}


@pytest.mark.filterwarnings("ignore:This API is in beta")
@pytest.mark.parametrize("form", CALLS)
def test_no_call_form_runs_into_a_recursion_limit(machine, form):
    assert CALLS[form](machine.make()).answer == machine.answer


def test_langchains_own_limit_would_be_too_small(chain):
    with pytest.raises(GraphRecursionError):
        chain.graph.invoke({"question": "q"}, {"recursion_limit": 25})


# --- failing


class Failing(ScriptedPolicy):
    """Fails at its first `times` calls."""

    def __init__(self, script: Any, times: int) -> None:
        super().__init__(script)
        self.times = times

    def sample(self, requests: Any) -> Any:
        self.times -= 1
        if self.times >= 0:
            raise ModelError("out of memory")
        return super().sample(requests)


def test_with_retry_tries_again(machine):
    retried = machine.make(Failing(machine.script, 1)).with_retry(
        retry_if_exception_type=(ModelError,), wait_exponential_jitter=False
    )
    assert retried.invoke("q").answer == machine.answer


def test_with_retry_does_not_ask_a_bad_question_again(machine):
    policy = ScriptedPolicy(machine.script)
    retried = machine.make(policy).with_retry(retry_if_exception_type=(ModelError,))
    with pytest.raises(QuestionError):
        retried.invoke(" ")
    assert policy.calls == []


async def test_with_fallbacks_falls_back(machine, chain):
    fallen = machine.make(Failing(machine.script, 10**6)).with_fallbacks([chain])
    assert fallen.invoke("q").answer == machine.answer
    assert (await fallen.ainvoke("q")).answer == machine.answer
    assert fallen.batch(["q"])[0].answer == machine.answer


# --- schemas


def test_the_input_schema_is_a_question(chain):
    schema = chain.get_input_jsonschema()
    assert set(schema["properties"]) == {"question"}
    assert schema["required"] == ["question"]


@pytest.mark.parametrize(
    ("output", "kind"), [("solution", Solution), ("message", AIMessage), ("text", str)]
)
def test_the_output_schema_is_what_a_call_returns(machine, output, kind):
    made = machine.make(output=output)
    assert made.OutputType is kind
    assert isinstance(made.invoke("q"), kind)
    assert made.get_output_jsonschema()["title"]


def test_the_schemas_survive_being_bound_and_piped(chain):
    assert set(chain.bind(seed=1).get_input_jsonschema()["properties"]) == {"question"}
    piped = chain | RunnableLambda(lambda solution: solution.answer)
    assert set(piped.get_input_jsonschema()["properties"]) == {"question"}


def test_it_draws_itself(chain):
    nodes = {node.name for node in chain.get_graph().nodes.values()}
    assert chain.get_name() in nodes


# --- names, tags, callbacks


class Recording(BaseTracer):
    """Keeps what a tracing service would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.runs.append(run)


ONE_RUN = {
    "invoke": lambda chain, config: chain.invoke("q", config),
    "batch": lambda chain, config: chain.batch(["q"], config),
    "stream": lambda chain, config: list(chain.stream("q", config)),
    "stream_left_early": lambda chain, config: next(chain.stream("q", config)),
    "bound": lambda chain, config: chain.bind(seed=1).invoke("q", config),
    "ainvoke": lambda chain, config: asyncio.run(chain.ainvoke("q", config)),
    "abatch": lambda chain, config: asyncio.run(chain.abatch(["q"], config)),
    "astream": lambda chain, config: asyncio.run(drawn(chain.astream("q", config))),
    "astream_events": lambda chain, config: asyncio.run(
        drawn(chain.astream_events("q", config, version="v2"))
    ),
}


@pytest.mark.parametrize("form", ONE_RUN)
def test_a_call_is_one_root_run_and_everything_is_below_it(chain, form):
    tracer = Recording()
    config: RunnableConfig = {
        "callbacks": [tracer],
        "tags": ["mine"],
        "metadata": {"who": "me"},
        "run_name": "named",
    }
    ONE_RUN[form](chain, config)
    (root,) = tracer.runs
    assert root.name == "named"
    assert "mine" in root.tags
    assert root.metadata["who"] == "me"
    assert root.end_time is not None
    (graph,) = root.child_runs
    assert {"root", "select"} <= {run.name for run in graph.child_runs}
    for run in graph.child_runs:
        assert run.metadata["who"] == "me"
        assert "mine" in run.tags


def test_without_a_name_a_run_has_that_of_its_class(chain):
    tracer = Recording()
    chain.invoke("q", {"callbacks": [tracer]})
    assert [run.name for run in tracer.runs] == [type(chain).__name__]
    assert chain.get_name() == type(chain).__name__


def test_in_a_pipe_the_root_run_is_the_pipes(chain):
    tracer = Recording()
    (chain | RunnableLambda(lambda solution: solution.answer)).invoke("q", {"callbacks": [tracer]})
    (root,) = tracer.runs
    assert next(run.name for run in root.child_runs) == type(chain).__name__


def test_with_config_gives_every_call_its_tags_and_callbacks(chain):
    tracer = Recording()
    configured = chain.with_config(tags=["always"], callbacks=[tracer], run_name="named")
    configured.invoke("q")
    configured.batch(["q"])
    assert [(run.name, run.tags) for run in tracer.runs] == [("named", ["always"])] * 2


def test_listeners_hear_the_start_and_the_end(chain):
    heard: list[Any] = []
    chain.with_listeners(
        on_start=lambda run: heard.append(run.name), on_end=lambda run: heard.append(run.error)
    ).invoke("q")
    assert heard == [type(chain).__name__, None]


def test_a_failed_call_is_one_failed_root_run(machine):
    class Errors(BaseCallbackHandler):
        def __init__(self) -> None:
            self.errors: list[Any] = []

        def on_chain_error(self, error: BaseException, *, parent_run_id: Any = None, **_: Any):
            if parent_run_id is None:
                self.errors.append(error)

    errors = Errors()
    chain = machine.make(Failing(machine.script, 10**6))
    with pytest.raises(ModelError):
        chain.invoke("q", {"callbacks": [errors]})
    with pytest.raises(ModelError):
        list(chain.stream("q", {"callbacks": [errors]}))
    assert [str(error) for error in errors.errors] == ["out of memory"] * 2


async def test_astream_events_tell_the_beats_as_chunks_of_the_root(chain):
    events = await drawn(chain.astream_events("q", version="v2"))
    (name,) = {event["name"] for event in events if not event["parent_ids"]}
    assert name == type(chain).__name__
    chunks = [
        event["data"]["chunk"]
        for event in events
        if event["event"] == "on_chain_stream" and not event["parent_ids"]
    ]
    assert chunks[0]["type"] == "selected"
    assert isinstance(chunks[-1], Solution)


async def test_every_form_of_call_gives_the_same_solution(chain):
    expected = chain.invoke("q").model_copy(update={"seconds": 0.0})
    for solution in (
        chain.batch(["q"])[0],
        list(chain.stream("q"))[-1],
        await chain.ainvoke("q"),
        (await chain.abatch(["q"]))[0],
        (await drawn(chain.astream("q")))[-1],
    ):
        assert solution.model_copy(update={"seconds": 0.0}) == expected
