"""Stopping a search: drained, cancelled, or its stream closed, it stops between two tokens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphDrained
from langgraph.graph import START, StateGraph
from langgraph.runtime import RunControl

from langchain_qstar.chains import QStarChain
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.settings import QStarSettings
from langchain_qstar.stopping import wait

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}


class Outer(TypedDict):
    answer: str | None


class Stuck(ScriptedPolicy):
    """An engine that, at one of its calls, works on until it is told to stop."""

    stuck_at = 3

    def __init__(self, script: Any) -> None:
        super().__init__(script)
        self.working = threading.Event()
        self.job: Future[Any] = Future()

    def sample(self, requests: Any) -> Any:
        result = super().sample(requests)
        if len(self.calls) == self.stuck_at:
            self.working.set()
            return wait(self.job)
        return result

    async def asample(self, requests: Any) -> Any:
        result = super().sample(requests)
        if len(self.calls) == self.stuck_at:
            self.working.set()
            return await asyncio.wrap_future(self.job)
        return result


@pytest.fixture
def stuck(fresh: Any) -> Stuck:
    return Stuck(fresh()._script)


@pytest.fixture
def drained_once_it_works(stuck: Stuck) -> Iterator[RunControl]:
    """A control that is drained from another thread, as a signal handler would do it."""
    control = RunControl()

    def drain() -> None:
        assert stuck.working.wait(20)
        control.request_drain("shutdown")

    thread = threading.Thread(target=drain)
    thread.start()
    yield control
    thread.join()


def test_a_drain_stops_the_model_and_leaves_a_thread_to_resume(
    make, fresh, stuck, saver, drained_once_it_works, grown, repeated
):
    with pytest.raises(GraphDrained, match="shutdown"):
        make(stuck, saver).invoke("q", THREAD, control=drained_once_it_works)
    assert stuck.job.cancelled()
    rest, reference = fresh(), fresh()
    assert grown(make(rest, saver).invoke("q", THREAD)) == grown(make(reference).invoke("q"))
    assert not repeated(rest, reference)


async def test_a_drain_stops_an_async_search_too(make, stuck, drained_once_it_works, grown):
    memory = InMemorySaver()
    with pytest.raises(GraphDrained):
        await make(stuck, memory).ainvoke("q", THREAD, control=drained_once_it_works)
    assert stuck.job.cancelled()
    assert grown(await make(None, memory).ainvoke("q", THREAD)) == grown(make().invoke("q"))


def test_a_drain_of_the_graph_around_it_reaches_it(make, stuck, drained_once_it_works):
    inner = make(stuck)
    builder = StateGraph(Outer)
    builder.add_node("solve", lambda _: {"answer": inner.invoke("q").answer})
    builder.add_edge(START, "solve")
    outer = builder.compile(checkpointer=InMemorySaver())
    with pytest.raises(GraphDrained):
        outer.invoke({"answer": None}, THREAD, control=drained_once_it_works)
    assert stuck.job.cancelled()


def test_a_drain_between_two_supersteps_ends_at_the_next(make, saver, grown):
    control = RunControl()
    control.request_drain("at once")
    with pytest.raises(GraphDrained, match="at once"):
        make(None, saver).invoke("q", THREAD, control=control)
    assert grown(make(None, saver).invoke("q", THREAD)) == grown(make().invoke("q"))


async def test_cancelling_the_task_stops_the_model_and_leaves_a_thread_to_resume(
    make, stuck, grown
):
    memory = InMemorySaver()
    task = asyncio.create_task(make(stuck, memory).ainvoke("q", THREAD))
    assert await asyncio.to_thread(stuck.working.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stuck.job.cancelled()
    assert grown(await make(None, memory).ainvoke("q", THREAD)) == grown(make().invoke("q"))


@pytest.mark.parametrize("heard", [1, 2, 3, 7])
def test_a_stream_that_is_closed_early_leaves_a_thread_to_resume(
    make, fresh, saver, grown, repeated, heard
):
    policy, reference = fresh(), fresh()
    whole = grown(make(reference).invoke("q"))
    stream = make(policy, saver).stream("q", THREAD)
    for _ in range(heard):
        next(stream)
    stream.close()
    asked = len(policy.calls)
    assert asked < len(reference.calls)
    assert grown(make(policy, saver).invoke("q", THREAD)) == whole
    # A superstep that ran while nobody listened is not stored.
    assert len(policy.calls) - len(reference.calls) <= 2


# --- a stream that is closed while the model works: in lookahead a superstep samples twice, so
# --- that an event comes in its middle

LOOKAHEAD: dict[str, Any] = {"h_mode": "lookahead", "num_samples": 2, "num_trajectories": 2}


@pytest.fixture
def stuck_in_the_middle(stuck: Stuck) -> Stuck:
    stuck.stuck_at = 2
    return stuck


@pytest.fixture
def lookahead(machines: Any) -> Any:
    return partial(machines["qstar"], **LOOKAHEAD)


def test_closing_a_stream_stops_the_model_in_its_thread(
    lookahead, stuck_in_the_middle, saver, grown
):
    stream = lookahead(stuck_in_the_middle, saver).stream("q", THREAD)
    assert [next(stream)["type"] for _ in range(2)] == ["selected", "proposed"]
    assert stuck_in_the_middle.working.wait(20)
    stream.close()  # would wait for the model for ever
    assert stuck_in_the_middle.job.cancelled()
    resumed = lookahead(None, saver).invoke("q", THREAD)
    assert grown(resumed) == grown(lookahead().invoke("q"))


async def test_closing_an_async_stream_stops_the_model(lookahead, stuck_in_the_middle, grown):
    memory = InMemorySaver()
    stream = lookahead(stuck_in_the_middle, memory).astream("q", THREAD)
    assert [(await anext(stream))["type"] for _ in range(2)] == ["selected", "proposed"]
    assert await asyncio.to_thread(stuck_in_the_middle.working.wait, 20)
    await stream.aclose()
    assert stuck_in_the_middle.job.cancelled()
    resumed = await lookahead(None, memory).ainvoke("q", THREAD)
    assert grown(resumed) == grown(lookahead().invoke("q"))


@pytest.mark.nano
def test_the_bundled_model_stops_between_two_tokens_when_its_stream_is_closed():
    settings = QStarSettings(num_samples=4, max_pops=20)
    qstar = QStarChain(settings=settings, checkpointer=InMemorySaver())
    question = "Tom has 4 bags. Each bag has 6 apples. How many apples does Tom have?"
    stream: Any = qstar.stream(question, THREAD)
    next(stream)
    stream.close()
    scheduler = qstar.policy._scheduler  # type: ignore[attr-defined]
    qstar.policy.sample([])  # the engine has looked at its queue since
    assert not scheduler.busy
    resumed = qstar.invoke(question, THREAD)
    assert resumed.tree == QStarChain(settings=settings).invoke(question).tree
