"""The open states, `unvisited` of Algorithm 1, as a heap.

Nothing of it is stored: which states are open follows from the tree (scored,
not popped), and `rebuild` reads it off when a run is resumed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import inf

from langchain_qstar.tree import ROOT, Nodes, Stats, depth, is_closed
from langchain_qstar.values import biased, priority

Entry = tuple[float, int, int, str]
"""`values.priority` of a state, then its id."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """Open states, and every state that was ever seen.

    Attributes:
        heap: The open states; the next to pop is first.
        known: State key -> the node that has it.
    """

    heap: list[Entry]
    known: dict[str, str]


def rebuild(nodes: Nodes, stats: Stats) -> Frontier:
    """The frontier of a tree. Looks at all of it."""
    heap = [entry(nodes, stats, each) for each in nodes if is_open(stats, each)]
    heapify(heap)
    return Frontier(heap, {record["key"]: each for each, record in nodes.items()})


def is_open(stats: Stats, node_id: str) -> bool:
    """Whether the state was inserted, not closed, and not popped since."""
    learnt = stats.get(node_id, {})
    return "f" in learnt and "popped" not in learnt and not is_closed(learnt)


def entry(nodes: Nodes, stats: Stats, node_id: str) -> Entry:
    """The heap entry of a state, with the `depth_bias` of the run in its f."""
    bias: float = nodes[ROOT]["run"]["settings"].get("depth_bias", 0.0)
    return (*place(nodes, stats, node_id, bias), node_id)


def place(
    nodes: Nodes, stats: Stats, node_id: str, depth_bias: float = 0.0
) -> tuple[float, int, int]:
    """`values.priority` of a state; what a person wrote comes before what a model did."""
    deep = depth(node_id)
    f = inf if written(nodes, node_id) else biased(stats[node_id]["f"], deep, depth_bias)
    return priority(f, deep, nodes[node_id]["order"])


def written(nodes: Nodes, node_id: str) -> bool:
    """Whether the last step to the state was written by a person."""
    return "replaces" in nodes[node_id]


def push(frontier: Frontier, entries: Iterable[Entry]) -> Frontier:
    """A frontier with more open states; the given one stays as it is."""
    heap = list(frontier.heap)
    for each in entries:
        heappush(heap, each)
    return Frontier(heap, frontier.known)


def pop(frontier: Frontier) -> str:
    """Take the state of highest priority out of this very frontier."""
    return heappop(frontier.heap)[-1]
