"""select: pop the open states of highest f, until some must be expanded or the search ends.

Algorithm 1, steps 2 and 3. A popped state that is a complete solution is
collected and the next is popped at once, since there is nothing to expand; so
one superstep pops `batch_pops` states to expand, and any complete ones between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, Literal

from langgraph.types import Command

from langchain_qstar.nodes.budgets import (
    Budgets,
    budgets_of,
    completes,
    for_completion,
    less,
    spent_budget,
)
from langchain_qstar.nodes.frontier import Frontier, entry, is_open, pop, push, rebuild, written
from langchain_qstar.nodes.intervention import unapproved, undecided
from langchain_qstar.nodes.mutual.affording import with_collected
from langchain_qstar.nodes.phase import Writer
from langchain_qstar.nodes.work import Work, new_work, unfinished
from langchain_qstar.settings import QStarSettings
from langchain_qstar.solution import Interrupt, Stopped
from langchain_qstar.spending.allowance import cut_of
from langchain_qstar.state.events import SelectedEvent
from langchain_qstar.state.qstar import SelectView
from langchain_qstar.tree import ROOT, Nodes, StatRecord, Stats, children, is_closed, samples_of

NOTHING_DERIVED: Final[Mapping[str, Any]] = {"frontier": None, "work": None}
"""For a node that may change the tree: select then reads everything off it again."""

Next = Command[Literal["propose_step", "verify_by_completion", "human_gate", "answer"]]
"""An update, and which node is next."""


def select(view: SelectView, write: Writer) -> Next:
    """Pop states, or say why the search stops; all settings are read from the root.

    A run that was resumed in the middle of an expansion gets the rest of that
    expansion first, without a pop.
    """
    nodes, stats, usage = view["nodes"], view["stats"], view["usage"]
    gates: Sequence[Interrupt] = nodes[ROOT]["run"]["settings"].get("interrupt", ())
    frontier, left = _frontier(view)
    if cut_of(usage):  # what a budget cut short is not gone on with
        left = []
    if _asks(stats, left, gates):
        return Command(update={**NOTHING_DERIVED}, goto="human_gate")
    if left:
        work = _work(view, frontier, left, _Pops(view["collected"]))
        # Rebuilt once it is done: of what comes back some may be open already.
        return Command(update={"frontier": None, "work": work}, goto="propose_step")
    pops = _Pops([each for each in view["collected"] if not is_closed(stats[each])])
    _pop(pops, view, frontier)
    update: dict[str, Any] = {
        "frontier": frontier,
        "stats": pops.marks,
        "usage": {"pops": len(pops.marks)},
    }
    # A checkpoint keeps every write, so what did not change is not written.
    if pops.collected != view["collected"]:
        update["collected"] = pops.collected
    if pops.marks:
        write(_event(nodes, stats, pops, len(frontier.heap)))
    if pops.stopped:
        update["stopped"] = pops.stopped
    asks = "answer" in gates if pops.stopped else _asks(stats, pops.expand, gates)
    if asks:
        update |= NOTHING_DERIVED
    if pops.stopped and _verifies(nodes):  # and then asks
        return Command(update=update, goto="verify_by_completion")
    if asks or pops.stopped:
        return Command(update=update, goto="human_gate" if asks else "answer")
    work = _work(view, frontier, pops.expand, pops)
    return Command(update=update | {"work": work.with_stats(pops.marks)}, goto="propose_step")


def _work(view: SelectView, frontier: Frontier, popped: Sequence[str], pops: _Pops) -> Work:
    batches = int(view["usage"].get("batches", 0))
    budgets = _budgets(view, frontier, pops.collected)
    return new_work(view["nodes"], view["stats"], popped, frontier.known, batches, budgets=budgets)


def _budgets(view: SelectView, frontier: Frontier, collected: Sequence[str]) -> Budgets:
    """What may have been spent before the search ends.

    The rest is for verifying what was collected; or, while there is no answer, for the
    completion of the best state.
    """
    nodes, usage = view["nodes"], view["usage"]
    run = nodes[ROOT]["run"]["settings"]
    budgets = budgets_of(nodes[ROOT])
    if _verifies(nodes):
        verified = QStarSettings(**run)
        spent = with_collected(nodes, view["stats"], collected, usage, verified)
        budgets = less(budgets, {key: spent[key] - usage.get(key, 0) for key in spent})
    if completes(run) and not _has_answer(nodes, frontier, collected):
        budgets = less(budgets, for_completion(budgets, run["completion_share"]))
    return budgets


def _has_answer(nodes: Nodes, frontier: Frontier, collected: Sequence[str]) -> bool:
    """Whether a trajectory that was collected, or is open, ends in an answer."""
    complete = chain(collected, (each[-1] for each in frontier.heap))
    return any(nodes[each]["terminal"] and nodes[each]["answer"] is not None for each in complete)


def _verifies(nodes: Nodes) -> bool:
    """Whether a second model completes what was collected before the answer."""
    verifies: bool = nodes[ROOT]["run"]["settings"].get("verify") == "after"
    return verifies


def _asks(stats: Stats, expand: Sequence[str], gates: Sequence[Interrupt]) -> bool:
    """Whether a person is asked before `expand` is expanded."""
    failed = "failed_check" in gates and any(undecided(stats))
    return failed or ("expand" in gates and bool(unapproved(stats, expand)))


def _frontier(view: SelectView) -> tuple[Frontier, list[str]]:
    """The open states, and popped states whose expansion was cut off by a kill."""
    nodes, stats = view["nodes"], view["stats"]
    frontier: Frontier | None = view.get("frontier")
    if frontier is None:
        return rebuild(nodes, stats), unfinished(nodes, stats)
    return push(frontier, (entry(nodes, stats, each) for each in _inserted(view))), []


def _inserted(view: SelectView) -> Iterator[str]:
    """The states that the last superstep added to the open ones."""
    for parent in view["work"].popped:
        for child in children(view["nodes"], parent):
            if is_open(view["stats"], child):
                yield child


@dataclass(slots=True)
class _Pops:
    """What one superstep pops."""

    collected: list[str]
    expand: list[str] = field(default_factory=list)
    marks: dict[str, StatRecord] = field(default_factory=dict)
    stopped: Stopped | None = None


def _pop(pops: _Pops, view: SelectView, frontier: Frontier) -> None:
    nodes, usage = view["nodes"], view["usage"]
    root = nodes[ROOT]
    settings: dict[str, Any] = root["run"]["settings"]
    earlier = int(usage.get("pops", 0))
    while len(pops.expand) < settings["batch_pops"]:
        spent = {**usage, "pops": earlier + len(pops.marks), "nodes": len(nodes)}
        budgets = _budgets(view, frontier, pops.collected)
        pops.stopped = stop_reason(_trajectories(nodes, pops.collected), spent, settings | budgets)
        if not frontier.heap:
            break
        # What a person wrote is looked at, whatever is spent.
        if pops.stopped and not written(nodes, frontier.heap[0][-1]):
            break
        node_id = pop(frontier)
        pops.marks[node_id] = {"popped": earlier + len(pops.marks), "visits": 1}
        record = nodes[node_id]
        if record["terminal"]:
            pops.collected.append(node_id)
        elif not record["truncated"]:
            pops.expand.append(node_id)
    asked_for = any(written(nodes, each) for each in pops.expand)
    if asked_for or (pops.expand and pops.stopped != "complete"):
        pops.stopped = None  # what was popped is expanded; a spent budget ends the next superstep
    elif not pops.stopped:
        pops.stopped = "exhausted"


def _trajectories(nodes: Nodes, collected: Sequence[str]) -> int:
    return sum(samples_of(nodes, each) for each in collected)


def stop_reason(
    collected: int, spent: Mapping[str, float], settings: Mapping[str, Any]
) -> Stopped | None:
    """Whether the search must stop before the next pop, and why.

    Args:
        collected: Complete trajectories popped so far.
        spent: What was used so far: pops, completion_tokens, completions,
            seconds, nodes. A missing count is 0.
        settings: `num_trajectories` and the budgets, by their names in
            `QStarSettings`.

    Returns:
        The first reason in the order of `Stopped`, or None.

    Source:
        Choices 8 and 9.
    """
    return (
        "complete" if collected >= settings["num_trajectories"] else spent_budget(spent, settings)
    )


def _event(nodes: Nodes, stats: Stats, pops: _Pops, left: int) -> SelectedEvent:
    return {
        "type": "selected",
        "nodes": [
            {
                "id": each,
                "text": nodes[each]["text"],
                "f": stats[each]["f"],
                "terminal": nodes[each]["terminal"],
            }
            for each in pops.marks
        ],
        "open": left,
    }
