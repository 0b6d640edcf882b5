"""Stopping a search: drained, cancelled, or its stream closed, it stops between two tokens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

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
def stuck(make: Any) -> Stuck:
    return Stuck(make().policy._script)


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
    make, stuck, saver, drained_once_it_works, grown, asked_of
):
    with pytest.raises(GraphDrained, match="shutdown"):
        make(stuck, saver).invoke("q", THREAD, control=drained_once_it_works)
    assert stuck.job.cancelled()
    rest = ScriptedPolicy(make().policy._script)
    assert grown(make(rest, saver).invoke("q", THREAD)) == grown(make().invoke("q"))
    assert not {*asked_of(rest)} & {*asked_of(stuck)[:2]}


async def test_a_drain_stops_an_async_search_too(make, stuck, drained_once_it_works, grown):
    memory = InMemorySaver()
    with pytest.raises(GraphDrained):
        await make(stuck, memory).ainvoke("q", THREAD, control=drained_once_it_works)
    assert stuck.job.cancelled()
    assert grown(await make(None, memory).ainvoke("q", THREAD)) == grown(make().invoke("q"))


def test_a_drain_of_the_graph_around_it_reaches_it(make, stuck, drained_once_it_works):
    inner = make(stuck)
    builder = StateGraph(dict)
    builder.add_node("solve", lambda _: {"answer": inner.invoke("q").answer})
    builder.add_edge(START, "solve")
    outer = builder.compile(checkpointer=InMemorySaver())
    with pytest.raises(GraphDrained):
        outer.invoke({}, THREAD, control=drained_once_it_works)
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


def test_closing_a_stream_stops_the_model_in_its_thread(make, stuck, saver, grown):
    # In lookahead the first round samples twice, so an event comes while the model works.
    stuck.stuck_at = 2
    settings = {"h_mode": "lookahead", "num_samples": 2, "num_trajectories": 2}
    stream = make(stuck, saver, **settings).stream("q", THREAD)
    assert [next(stream)["type"] for _ in range(2)] == ["selected", "proposed"]
    assert stuck.working.wait(20)
    stream.close()  # would wait for the model for ever
    assert stuck.job.cancelled()
    resumed = make(None, saver, **settings).invoke("q", THREAD)
    assert grown(resumed) == grown(make(**settings).invoke("q"))


async def test_closing_an_async_stream_stops_the_model(make, stuck, grown):
    stuck.stuck_at = 2
    memory = InMemorySaver()
    settings = {"h_mode": "lookahead", "num_samples": 2, "num_trajectories": 2}
    stream = make(stuck, memory, **settings).astream("q", THREAD)
    assert [(await anext(stream))["type"] for _ in range(2)] == ["selected", "proposed"]
    assert await asyncio.to_thread(stuck.working.wait, 20)
    await stream.aclose()
    assert stuck.job.cancelled()
    resumed = await make(None, memory, **settings).ainvoke("q", THREAD)
    assert grown(resumed) == grown(make(**settings).invoke("q"))


@pytest.mark.nano
def test_the_bundled_model_stops_between_two_tokens_when_its_stream_is_closed():
    settings = QStarSettings(num_samples=4, max_pops=20)
    qstar = QStarChain(settings=settings, checkpointer=InMemorySaver())
    question = "Tom has 4 bags. Each bag has 6 apples. How many apples does Tom have?"
    stream = qstar.stream(question, THREAD)
    next(stream)
    stream.close()
    scheduler = qstar.policy._scheduler  # type: ignore[attr-defined]
    qstar.policy.sample([])  # the engine has looked at its queue since
    assert not scheduler.busy
    resumed = qstar.invoke(question, THREAD)
    assert resumed.tree == QStarChain(settings=settings).invoke(question).tree
