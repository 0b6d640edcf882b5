"""A method that is a LangGraph machine: running, streaming and resuming it.

With a checkpointer every call names a thread. A call that was killed is resumed
by the same call again; another question, seed or setting in the same thread
starts anew.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config

from langchain_qstar.chains.asking import Ask
from langchain_qstar.chains.solver import SolverChain
from langchain_qstar.errors import SettingsError
from langchain_qstar.nodes.root import run_facts
from langchain_qstar.settings import Settings
from langchain_qstar.solution import Solution

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import Checkpointer, StateSnapshot


class MachineChain(SolverChain):
    """A `SolverChain` whose method is a compiled graph.

    It sets the graph's `recursion_limit` itself; what a caller or LangChain's
    default says about it is meant for other graphs.
    """

    settings: Settings
    checkpointer: Checkpointer
    _graph: CompiledStateGraph[Any, Any, Any, Any]
    _names: Mapping[str, str | None]
    """What the run's root stores about the parts of the machine."""

    @abstractmethod
    def _superstep_limit(self, settings: Any) -> int:
        """The `recursion_limit` under which a search with these settings never fails."""

    @property
    def graph(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """The compiled graph, for drawing, sub-graphs and servers."""
        return self._graph

    def _solve(self, ask: Ask, config: RunnableConfig) -> Solution:
        config = self._graph_config(ask, config)
        result = self._graph.invoke(self._start(ask, config), config, **self._how())
        return Solution.model_validate(result["solution"])

    async def _asolve(self, ask: Ask, config: RunnableConfig) -> Solution:
        config = self._graph_config(ask, config)
        start = await self._astart(ask, config)
        result = await self._graph.ainvoke(start, config, **self._how())
        return Solution.model_validate(result["solution"])

    def _events(self, ask: Ask, config: RunnableConfig) -> Iterator[Any]:
        config = self._graph_config(ask, config)
        last: Any = None
        for mode, item in self._graph.stream(
            self._start(ask, config), config, stream_mode=["custom", "values"], **self._how()
        ):
            if mode == "custom":
                yield item
            else:
                last = item
        yield Solution.model_validate(last["solution"])

    async def _aevents(self, ask: Ask, config: RunnableConfig) -> AsyncIterator[Any]:
        config = self._graph_config(ask, config)
        start = await self._astart(ask, config)
        last: Any = None
        async for mode, item in self._graph.astream(
            start, config, stream_mode=["custom", "values"], **self._how()
        ):
            if mode == "custom":
                yield item
            else:
                last = item
        yield Solution.model_validate(last["solution"])

    def _settings_of(self, ask: Ask) -> Settings:
        return self.settings.replace(**ask.budget) if ask.budget else self.settings

    def _graph_config(self, ask: Ask, config: RunnableConfig) -> RunnableConfig:
        if self.checkpointer and "thread_id" not in config.get("configurable", {}):
            raise SettingsError(
                "with a checkpointer, name a thread: "
                "config={'configurable': {'thread_id': 'any name'}}"
            )
        return patch_config(config, recursion_limit=self._superstep_limit(self._settings_of(ask)))

    def _how(self) -> dict[str, Any]:
        """Each superstep is stored before the next begins, or a kill would lose some."""
        return {"durability": "sync"} if self.checkpointer else {}

    def _start(self, ask: Ask, config: RunnableConfig) -> dict[str, Any] | None:
        """What the graph starts from: the question, or None to go on where it was killed."""
        if self.checkpointer and self._is_rest_of(self._graph.get_state(config), ask):
            return None
        return _input(ask)

    async def _astart(self, ask: Ask, config: RunnableConfig) -> dict[str, Any] | None:
        if self.checkpointer and self._is_rest_of(await self._graph.aget_state(config), ask):
            return None
        return _input(ask)

    def _is_rest_of(self, snapshot: StateSnapshot, ask: Ask) -> bool:
        """Whether the thread holds an unfinished run of this very call."""
        root = snapshot.values.get("nodes", {}).get("0")
        if not snapshot.next or root is None:
            return False
        facts = run_facts(ask.question, ask.seed, self._settings_of(ask), self._names)
        return bool(root["run"] == facts)


def _input(ask: Ask) -> dict[str, Any]:
    return {"question": ask.question, "seed": ask.seed, "budget": dict(ask.budget)}
