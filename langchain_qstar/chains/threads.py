"""What a thread holds, and whether a call can go on with it.

A thread holds at most one unfinished search. The call that began it, repeated, finishes
it; any other call is refused, so that no search is lost and none begins again unseen. In
a thread whose search is finished, the same call gives the same result from the store, and
any other call begins a search; what that knows of the one before it, and whether it goes on in
its tree, is the setting `remember_thread`'s (`nodes.earlier`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from langchain_core.runnables import RunnableConfig

from langchain_qstar.chains.asking import Continuation
from langchain_qstar.errors import SettingsError, ThreadError
from langchain_qstar.tree import ROOT

if TYPE_CHECKING:
    from langgraph.types import StateSnapshot

STORED_BY_OUTER: Final = "__pregel_checkpointer"
"""LangGraph's mark of a config inside a graph that stores what is in it."""
BEGINNING: Final = frozenset({"__start__", "root"})
"""Nodes before which nothing of a search is there yet."""

NOT_ALWAYS: Final = frozenset({"images", "retriever"})
"""Facts that only some runs have."""


class Standing(Enum):
    """How a call stands to what its thread holds."""

    NEW = auto()
    UNFINISHED = auto()
    """The thread holds the rest of this very call."""
    FINISHED = auto()
    """The thread holds the result of this very call."""


def is_nested(config: RunnableConfig) -> bool:
    """Whether a graph around this call stores it and resumes it."""
    return config.get("configurable", {}).get(STORED_BY_OUTER) is not None


def thread_of(config: RunnableConfig) -> str:
    """The thread that a config names; `SettingsError` when it names none."""
    try:
        return str(config["configurable"]["thread_id"])
    except KeyError:
        raise SettingsError(
            "with a checkpointer, name a thread: config={'configurable': {'thread_id': 'any name'}}"
        ) from None


def named_thread(thread: str | RunnableConfig) -> RunnableConfig:
    """A config that names a thread, from its name or as it is."""
    return {"configurable": {"thread_id": thread}} if isinstance(thread, str) else thread


def merged(config: RunnableConfig, point: RunnableConfig) -> RunnableConfig:
    """`config`, at the checkpoint that `point` names."""
    return {**config, "configurable": {**config["configurable"], **point["configurable"]}}


def recalled(
    ask: Continuation, snapshot: StateSnapshot, thread: str, overrides: Sequence[str]
) -> Continuation:
    """The call with the question, the seed and the budgets of the search in the thread.

    Raises:
        ThreadError: There is none.
    """
    root = snapshot.values.get("nodes", {}).get(ROOT)
    if root is None:
        raise ThreadError(f"thread {thread!r} holds no search to go on with; ask a question")
    run = root["run"]
    stored = run["settings"]
    budget = {name: stored[name] for name in overrides if name in stored}
    images = tuple(run.get("images", ()))
    return replace(ask, question=run["question"], seed=run["seed"], budget=budget, images=images)


def ahead(snapshot: StateSnapshot) -> set[str]:
    """The nodes of the next superstep; none of a finished search.

    `snapshot.next` leaves out those whose writes are stored already, and of a search that
    was killed before the checkpoint after them these may be all.
    """
    return {task.name for task in snapshot.tasks}


def standing(snapshot: StateSnapshot, facts: Mapping[str, Any], thread: str) -> Standing:
    """How the call with these facts stands to the thread.

    Args:
        snapshot: What the thread holds.
        facts: `run_facts` of the call.
        thread: Its name, for errors.

    Raises:
        ThreadError: The thread holds the state of another graph, or an unfinished search
            that is not the call's: of another machine or version, with other models or
            settings, or about something else.
    """
    root = snapshot.values.get("nodes", {}).get(ROOT)
    rest = ahead(snapshot)
    if root is None and snapshot.metadata is not None and not BEGINNING & rest:
        raise ThreadError(
            f"thread {thread!r} holds the state of another graph; name another thread"
        )
    if root is None or BEGINNING & rest:
        return Standing.NEW
    stored = root["run"]
    if stored == facts:
        return Standing.UNFINISHED if rest else Standing.FINISHED
    if not rest:
        return Standing.NEW
    if _keys(stored) != _keys(facts) or stored["layout"] != facts["layout"]:
        raise ThreadError(
            f"thread {thread!r} holds an unfinished search of another machine or version; "
            "finish it there, name another thread, or remove it with forget"
        )
    differing = ", ".join(_differing(stored, facts))
    raise ThreadError(
        f"thread {thread!r} holds an unfinished search with {differing}; finish it so or "
        "with resume, name another thread, or remove it with forget"
    )


def _keys(facts: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    return {*facts} - NOT_ALWAYS, {*facts["settings"]}


def _differing(stored: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    """What the stored run has and the call has not."""
    flat = {**facts, **facts["settings"]}
    for name, value in {**stored, **stored["settings"]}.items():
        if name not in NOT_ALWAYS | {"settings"} and flat[name] != value:
            yield f"{name}={value!r} (here {flat[name]!r})"
    for name in sorted(NOT_ALWAYS):
        if stored.get(name) != facts.get(name):
            yield f"other {name}"


def asked_steps(snapshot: StateSnapshot) -> list[str]:
    """The ids of the steps that the search in the thread asks about; none when it does not."""
    if not snapshot.interrupts or "human_gate" not in ahead(snapshot):
        return []
    return [step["id"] for step in snapshot.interrupts[0].value["steps"]]
