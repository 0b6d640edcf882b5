"""How a node runs: its logic is written once, its model calls wait as they must.

A node's function either returns its update, or is a generator that yields a
`Call` for each batch it wants from a model, is sent the result, and returns the
update. `Phase` drives it, blocking or not. The function itself never waits, so
it can be tested without a graph and without a model.

When the run is asked to drain (`langgraph.runtime.RunControl`), a call that is being
waited for is given up: an engine stops between two tokens, and the run ends at the last
superstep that was finished.
"""

# ruff: noqa: A002, ARG002  # `input` and `config` are LangChain's names, used or not

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, NamedTuple

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl, get_runtime
from langgraph.types import Command

from langchain_qstar.driving import adrive, drive
from langchain_qstar.nodes.model_runs import SampleBatch, ScoreBatch, atraced, traced
from langchain_qstar.nodes.writing import asampled, sampled
from langchain_qstar.protocols import Policy, SampleRequest, ScoreRequest, StepScorer
from langchain_qstar.spending.allowance import Allowance, held_to
from langchain_qstar.spending.in_time import OutOfTimeError, ain_time, in_time
from langchain_qstar.spending.scoring import ascored, scored
from langchain_qstar.stopping import LOOK_SECONDS, stopped_when

Update = dict[str, Any]
Output = Update | Command[Any]
Writer = Callable[[Any], None]


class Call(NamedTuple):
    """One batched call of a model, blocking and not."""

    run: Callable[[], Any]
    arun: Callable[[], Awaitable[Any]]

    def wait(self) -> Any:
        """Make the call."""
        return self.run()

    async def awaited(self) -> Any:
        """Make the call without blocking the event loop."""
        return await self.arun()


def sample(policy: Policy, requests: Sequence[SampleRequest]) -> Call:
    """Ask `policy` for continuations."""
    batch = SampleBatch(policy, requests)
    return Call(
        lambda: traced(batch, lambda: sampled(policy, requests)),
        lambda: atraced(batch, lambda: asampled(policy, requests)),
    )


def score(scorer: StepScorer, requests: Sequence[ScoreRequest]) -> Call:
    """Ask `scorer` for the values of steps; None comes back where a budget did not let it."""
    batch = ScoreBatch(scorer, requests)
    return timed(
        Call(
            lambda: traced(batch, lambda: scored(scorer, requests)),
            lambda: atraced(batch, lambda: ascored(scorer, requests)),
        ),
        lambda: None,
    )


def timed(call: Call, late: Callable[[], Any]) -> Call:
    """`call`, which is given up when the time is over; what comes back then is `late()`."""

    def run() -> Any:
        try:
            return in_time(call.run)
        except OutOfTimeError:
            return late()

    async def arun() -> Any:
        try:
            return await ain_time(call.arun)
        except OutOfTimeError:
            return late()

    return Call(run, arun)


def attempted(call: Call, failures: tuple[type[Exception], ...]) -> Call:
    """`call`, whose failures come back as the exceptions they are, not raised."""

    def run() -> Any:
        try:
            return call.run()
        except failures as failure:
            return failure

    async def arun() -> Any:
        try:
            return await call.arun()
        except failures as failure:
            return failure

    return Call(run, arun)


def aside(work: Callable[[], Any]) -> Call:
    """Work that blocks and calls no model: done in a thread where others wait."""
    return Call(work, lambda: asyncio.to_thread(work))


def beside(call: Call, work: Callable[[], Any]) -> Call:
    """`call`, with `work` done in a thread meanwhile; what comes back is a pair of both results."""

    def run() -> tuple[Any, Any]:
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(work)
            return call.run(), done.result()

    async def arun() -> tuple[Any, Any]:
        result, done = await asyncio.gather(call.arun(), asyncio.to_thread(work))
        return result, done

    return Call(run, arun)


Beat = Callable[[Any, Writer], Output | Generator[Call, Any, Update]]
"""The function of a node: (what it reads, where events go) -> its update."""


Allows = Callable[[Any], Allowance | None]
"""From what a node reads to what it may spend; None is no limit."""


def without_limit(_: Any) -> None:
    """No limit."""


class Phase(Runnable[Mapping[str, Any], Output]):
    """A graph node around a function; adds no run of its own to traces."""

    def __init__(self, name: str, beat: Beat, allows: Allows = without_limit) -> None:
        """Run `beat`, whose calls may spend together what it `allows`."""
        self.name = name
        self._beat = beat
        self._allows = allows

    def invoke(
        self, input: Mapping[str, Any], config: RunnableConfig | None = None, **_: Any
    ) -> Output:
        """Run the node, waiting for each model call."""
        beat = self._beat(input, get_stream_writer())
        if not isinstance(beat, Generator):
            return beat
        control, allowance = _control(), self._allows(input)
        with held_to(allowance):
            update = drive(beat, lambda call: _run(call, control))
        return _counted(update, allowance)

    async def ainvoke(
        self, input: Mapping[str, Any], config: RunnableConfig | None = None, **_: Any
    ) -> Output:
        """Run the node, awaiting each model call."""
        beat = self._beat(input, get_stream_writer())
        if not isinstance(beat, Generator):
            return beat
        control, allowance = _control(), self._allows(input)
        with held_to(allowance):
            update = await adrive(beat, lambda call: _arun(call, control))
        return _counted(update, allowance)


def _counted(update: Update, allowance: Allowance | None) -> Update:
    """An update that counts all that was spent, and says what was cut."""
    if allowance is None:
        return update
    usage = allowance.counted(update.get("usage", {}))
    return {**update, "usage": usage} if usage else update


def _control() -> RunControl:
    """Where the run is told to drain; a caller's of an outer graph counts too."""
    return get_runtime().control or RunControl()


def _run(call: Call, control: RunControl) -> Any:
    """The result of a call. A drain stops it, and leaves the superstep to whoever resumes."""
    try:
        with stopped_when(lambda: control.drain_requested):
            return call.run()
    except CancelledError:
        if control.drain_requested:
            raise GraphDrained(control.drain_reason or "") from None
        raise


async def _arun(call: Call, control: RunControl) -> Any:
    """As `_run`. A cancelled task cancels the call by itself."""
    task = asyncio.ensure_future(call.arun())
    try:
        while not task.done():
            if control.drain_requested:
                raise GraphDrained(control.drain_reason or "")
            await asyncio.wait([task], timeout=LOOK_SECONDS)
        return task.result()
    finally:
        if task.cancel():
            await asyncio.wait([task])
