"""Running a chain inside an agent, so that its events reach whoever streams the agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langgraph.config import get_stream_writer

from langchain_qstar.chains import SolverChain
from langchain_qstar.solution import Solution


def solved(chain: SolverChain, question: Any) -> Solution:
    """The solution of `question`; the search's events go to the graph around it.

    LangGraph by itself passes the events of a nested graph on to a stream of
    sub-graphs only.

    Args:
        chain: Whose result is a `Solution`.
        question: In any form that a chain takes.
    """
    write, last = graph_writer(), None
    for item in chain.stream(question):
        last = item if isinstance(item, Solution) else write(item)
    assert last is not None
    return last


async def asolved(chain: SolverChain, question: Any) -> Solution:
    """As `solved`, without blocking the event loop."""
    write, last = graph_writer(), None
    async for item in chain.astream(question):
        last = item if isinstance(item, Solution) else write(item)
    assert last is not None
    return last


def graph_writer() -> Callable[[Any], None]:
    """Where the graph that this is called in streams custom events; outside one, nowhere."""
    try:
        return get_stream_writer()
    except (RuntimeError, KeyError):
        return lambda _: None
