"""Budgets of a thread: what its runs may spend together.

The root of a run remembers what the runs before it spent, and which of its own budgets
are smaller for it; so nothing has to be added up while a search runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypedDict

from langchain_qstar.errors import ThreadError
from langchain_qstar.settings import Settings
from langchain_qstar.state.channels import add_usage
from langchain_qstar.tree import ROOT, Nodes

COUNTS: Final = {
    "tokens": "completion_tokens",
    "completions": "completions",
    "seconds": "seconds",
    "nodes": "nodes",
}
"""What is budgeted, and the name of its count."""


class ThreadFacts(TypedDict, total=False):
    """What a root record says about its thread; see `NodeRecord`."""

    earlier: dict[str, float]
    left: dict[str, float]


def thread_facts(
    nodes: Nodes, usage: Mapping[str, float], settings: Settings, *, goes_on: bool = False
) -> ThreadFacts:
    """What a run must know about the runs before it in the same thread.

    Args:
        nodes: The tree of the last run, if there was one.
        usage: What that run spent.
        settings: Of the run that begins.
        goes_on: Whether it goes on with the last run, and counts as its own what that spent.

    Returns:
        `earlier`, the counts of `COUNTS`, when there were any; `left`, the budgets of
        this run that are smaller than `settings` says.

    Raises:
        ThreadError: A budget of the thread is spent.
    """
    earlier: dict[str, float] = {}
    if ROOT in nodes:
        last = {**usage, "nodes": len(nodes)}
        spent = {count: last.get(count, 0) for count in COUNTS.values()}
        before = nodes[ROOT].get("earlier", {})
        earlier = before if goes_on else add_usage(before, spent)
    left = {}
    for name, count in COUNTS.items():
        most = getattr(settings, f"max_thread_{name}")
        if most is None:
            continue
        rest = most - earlier.get(count, 0)
        if rest <= 0:
            raise ThreadError(
                f"the thread has spent its max_thread_{name} of {most:g}; "
                "name another thread, or set a larger budget"
            )
        of_call = getattr(settings, f"max_{name}")
        if of_call is None or rest < of_call:
            left[f"max_{name}"] = rest
    facts: ThreadFacts = {}
    if earlier:
        facts["earlier"] = earlier
    if left:
        facts["left"] = left
    return facts
