"""A method that is a LangGraph machine: running, streaming and resuming it.

With a checkpointer every call names a thread, `config={"configurable": {"thread_id":
...}}`, and is stored superstep by superstep. What the thread holds then decides
(`threads.py`): the same call goes on where it was killed, and gives the stored result once
it is finished; None, or a LangGraph `Command(resume=decision)`, instead of a question goes
on with whatever search the thread holds, from its end or from an earlier `checkpoint_id`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config

from langchain_qstar.chains.asking import Ask, Continuation
from langchain_qstar.chains.checkpoints import aforget, astoring, forget, storing
from langchain_qstar.chains.control import Closing
from langchain_qstar.chains.solver import SolverChain
from langchain_qstar.chains.threads import (
    Standing,
    asked_steps,
    is_nested,
    merged,
    named_thread,
    recalled,
    standing,
    thread_of,
)
from langchain_qstar.decisions import Decision, read_decision
from langchain_qstar.driving import adrive, drive
from langchain_qstar.errors import DecisionError, SettingsError, ThreadError
from langchain_qstar.nodes.assembly import solution_of
from langchain_qstar.nodes.intervention import nameable
from langchain_qstar.nodes.phase import Call
from langchain_qstar.nodes.root import run_facts
from langchain_qstar.protocols import Policy
from langchain_qstar.settings import Settings
from langchain_qstar.solution import Pending, Solution

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import Checkpointer, StateSnapshot, StreamMode


MODES: Final[list[StreamMode]] = ["custom", "values"]


@dataclass(frozen=True, slots=True)
class _Run:
    """What the graph is called with."""

    start: Any
    """An input, None to go on, or a `Command`."""
    config: RunnableConfig
    how: dict[str, Any]


class MachineChain(SolverChain):
    """A `SolverChain` whose method is a compiled graph.

    It sets the graph's `recursion_limit` itself; what a caller or LangChain's
    default says about it is meant for other graphs. Every call takes `control`, a
    `langgraph.runtime.RunControl`, whose `request_drain` ends it between two tokens with
    LangGraph's `GraphDrained`, and leaves a thread to be resumed.
    """

    settings: Settings
    checkpointer: Checkpointer
    verifier: Policy | None
    """The model that completes what was found, None where nothing is completed."""
    _graph: CompiledStateGraph[Any, Any, Any, Any]
    _names: Mapping[str, str | None]
    """What the run's root stores about the parts of the machine."""

    def _policies(self) -> tuple[Policy, ...]:
        return (self.policy,) if self.verifier is None else (self.policy, self.verifier)

    @abstractmethod
    def _superstep_limit(self, settings: Any, written: int) -> int:
        """The `recursion_limit` under which a search never fails, with what a person writes."""

    @abstractmethod
    def _found(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What an unfinished search has found, from the state of the graph.

        Arguments of `solution_of`: `method`, `chosen`, `collected`, and how steps are `shown`.
        """

    @abstractmethod
    def _stored(self, values: Mapping[str, Any]) -> Solution:
        """The result of a finished search, from the state of the graph, without a model."""

    @abstractmethod
    def _intervention(
        self, snapshot: StateSnapshot, decision: Decision, asked: Sequence[str]
    ) -> tuple[dict[str, Any], str]:
        """The update that a decision about any step of the tree makes to the state.

        Steps that were `asked` about and are not named are approved. With it comes the
        node it is made in the name of, after which the graph goes on with the new tree.
        """

    @property
    def graph(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """The compiled graph, for drawing, sub-graphs and servers."""
        return self._graph

    def resume(
        self, thread: str | RunnableConfig, decision: Any = None, *, control: Any = None
    ) -> Any:
        """Go on with the search that a thread holds, whatever it was asked.

        Args:
            thread: The thread, by its `thread_id` or as a config. With a `checkpoint_id` in
                the config (`graph.get_state_history` has them) the search goes on from that
                earlier point; what came after it stays in the history.
            decision: What a person says, `"approve"`, `"forbid"` or a dict (`decisions.py`):
                the reply to what a search asks, or, of one that asks nothing, also of a
                finished one, steps of the tree to forbid or edit before it goes on.
            control: As for `invoke`.

        Returns:
            What `invoke` returns. A finished search returns its result again.

        Raises:
            ThreadError: The thread holds no search, or one that this chain cannot go on with.
            DecisionError: The decision cannot be followed; nothing is changed.
        """
        return self.invoke(_spoken(decision), named_thread(thread), control=control)

    async def aresume(
        self, thread: str | RunnableConfig, decision: Any = None, *, control: Any = None
    ) -> Any:
        """As `resume`, without blocking the event loop."""
        return await self.ainvoke(_spoken(decision), named_thread(thread), control=control)

    def forget(self, thread_id: str) -> None:
        """Remove a thread from the store; see `checkpoints.forget`."""
        forget(self.checkpointer, thread_id)

    async def aforget(self, thread_id: str) -> None:
        """As `forget`, without blocking the event loop."""
        await aforget(self.checkpointer, thread_id)

    def _ask(self, value: Any, overrides: Mapping[str, Any]) -> Ask:
        from langgraph.types import Command

        given = dict(overrides)
        control = given.pop("control", None)
        goes_on = isinstance(value, Command) or (value is None and self.checkpointer)
        if not goes_on:
            return replace(super()._ask(value, given), control=control)
        if given:
            raise SettingsError(f"a search goes on as it began; leave out {', '.join(given)}")
        decision = None if value is None else value.resume
        return Continuation("", 0, {}, control, decision=decision)

    def _solve(self, ask: Ask, config: RunnableConfig) -> Solution:
        with storing(self.checkpointer):
            return drive(self._searched(ask, config), Call.wait)

    async def _asolve(self, ask: Ask, config: RunnableConfig) -> Solution:
        async with astoring(self.checkpointer):
            return await adrive(self._searched(ask, config), Call.awaited)

    def _searched(self, ask: Ask, config: RunnableConfig) -> Generator[Call, Any, Solution]:
        run = yield from self._begin(ask, config)
        if isinstance(run, Solution):
            return run
        last = yield Call(
            lambda: self._graph.invoke(run.start, run.config, **run.how),
            lambda: self._graph.ainvoke(run.start, run.config, **run.how),
        )
        return (yield from self._end(last, config))

    def _events(self, ask: Ask, config: RunnableConfig) -> Iterator[Any]:
        control = Closing(ask.control)
        with storing(self.checkpointer):
            run = drive(self._begin(replace(ask, control=control), config), Call.wait)
            if isinstance(run, Solution):
                yield run
                return
            last: Any = None
            stream = self._graph.stream(run.start, run.config, stream_mode=MODES, **run.how)
            with closing(stream), control.left_early():  # type: ignore[type-var]  # a generator
                for mode, item in stream:
                    if mode == "custom":
                        yield item
                    else:
                        last = item
            yield drive(self._end(last, config), Call.wait)

    async def _aevents(self, ask: Ask, config: RunnableConfig) -> AsyncIterator[Any]:
        control = Closing(ask.control)
        async with astoring(self.checkpointer):
            run = await adrive(self._begin(replace(ask, control=control), config), Call.awaited)
            if isinstance(run, Solution):
                yield run
                return
            last: Any = None
            stream = self._graph.astream(run.start, run.config, stream_mode=MODES, **run.how)
            async with aclosing(stream):  # type: ignore[type-var]  # a generator
                with control.left_early():
                    async for mode, item in stream:
                        if mode == "custom":
                            yield item
                        else:
                            last = item
            yield await adrive(self._end(last, config), Call.awaited)

    def _begin(self, ask: Ask, config: RunnableConfig) -> Generator[Call, Any, _Run | Solution]:
        """How the graph must be called, after what its thread holds; or what that holds."""
        how: dict[str, Any] = {} if ask.control is None else {"control": ask.control}
        if not self.checkpointer or is_nested(config):
            return self._begin_without_thread(ask, config, how)
        thread = thread_of(config)
        # Each superstep is stored before the next begins, or a kill would lose some.
        how["durability"] = "sync"
        snapshot = yield self._state(config)
        if isinstance(ask, Continuation):
            ask = recalled(ask, snapshot, thread, self.overrides)
        config = self._limited(ask, config)
        state = standing(snapshot, self._facts(ask), thread)
        if isinstance(ask, Continuation) and ask.decision is not None:
            return (yield from self._decided(ask, snapshot, _Run(None, config, how)))
        if state is Standing.UNFINISHED:
            return _Run(None, config, how)
        if state is Standing.FINISHED:
            return self._stored(snapshot.values)
        return _Run(_input(ask), config, how)

    def _begin_without_thread(self, ask: Ask, config: RunnableConfig, how: dict[str, Any]) -> _Run:
        """Of a call that is not stored, or that the graph around it stores and resumes."""
        if isinstance(ask, Continuation):
            raise ThreadError("only a chain with a checkpointer of its own can be resumed")
        if self.settings.interrupt and not is_nested(config):
            raise SettingsError("to ask a person, the chain needs a checkpointer")
        return _Run(_input(ask), self._limited(ask, config), how)

    def _decided(
        self, ask: Continuation, snapshot: StateSnapshot, run: _Run
    ) -> Generator[Call, Any, _Run]:
        """Reply to what the search asks, or change the tree where it asks nothing."""
        from langgraph.types import Command

        asked = asked_steps(snapshot)
        if not asked and ask.decision == "forbid":
            raise DecisionError("the search asks nothing; name the steps: {'forbid': ['0.1']}")
        steps = asked or nameable(snapshot.values["nodes"])
        decision = read_decision(ask.decision, steps)
        limit = self._superstep_limit(self._settings_of(ask), len(decision.edit))
        run = replace(run, config=patch_config(run.config, recursion_limit=limit))
        # LangGraph would answer an earlier question as it was answered then.
        if asked and "checkpoint_id" not in run.config["configurable"]:
            return replace(run, start=Command(resume=ask.decision))
        update, node = self._intervention(snapshot, decision, asked)
        forked = yield Call(
            lambda: self._graph.update_state(snapshot.config, update, as_node=node),
            lambda: self._graph.aupdate_state(snapshot.config, update, as_node=node),
        )
        return replace(run, config=merged(run.config, forked))

    def _end(self, last: Any, config: RunnableConfig) -> Generator[Call, Any, Solution]:
        """The solution; of a search that waits for a person, what there is and what it asks."""
        if "solution" in last:
            return Solution.model_validate(last["solution"])
        now = config if is_nested(config) else named_thread(thread_of(config))
        snapshot = yield self._state(now)
        if not snapshot.interrupts:  # it was killed once the last node's writes were stored
            return self._stored(snapshot.values)
        pending = Pending.model_validate(snapshot.interrupts[0].value)
        return _so_far(snapshot.values, self._found(snapshot.values), pending)

    def _state(self, config: RunnableConfig) -> Call:
        return Call(lambda: self._graph.get_state(config), lambda: self._graph.aget_state(config))

    def _settings_of(self, ask: Ask) -> Settings:
        return self.settings.replace(**ask.budget) if ask.budget else self.settings

    def _facts(self, ask: Ask) -> dict[str, Any]:
        return run_facts(ask.question, ask.seed, self._settings_of(ask), self._names, ask.images)

    def _limited(self, ask: Ask, config: RunnableConfig) -> RunnableConfig:
        limit = self._superstep_limit(self._settings_of(ask), 0)
        return patch_config(config, recursion_limit=limit)


def _so_far(values: Mapping[str, Any], found: Mapping[str, Any], pending: Pending) -> Solution:
    """The result of a search that waits for a person."""
    solution = solution_of(
        values["nodes"],
        values["stats"],
        values.get("usage", {}),
        votes=(),
        stopped="interrupted",
        **found,
    )
    return solution.model_copy(update={"pending": pending})


def _input(ask: Ask) -> dict[str, Any]:
    asked = {"question": ask.question, "seed": ask.seed, "budget": dict(ask.budget)}
    return asked | {"images": list(ask.images)} if ask.images else asked


def _spoken(decision: Any) -> Any:
    """A decision as an input of the chain."""
    from langgraph.types import Command

    return None if decision is None else Command(resume=decision)
