"""Whether values guided a search: what `Usage.shortfalls` says when they did not.

A pure function of what is stored of a search, so that a resumed one says the same. A search
that is not guided still answers; it is then no better than trying paths in the order in which
they were sampled, and nobody should take it for more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from langchain_qstar.scoring.stand_in import stood_in
from langchain_qstar.tree import ROOT, NodeRecord, Nodes, Stats, children, is_closed, trajectory

ALIKE: Final = 1e-9
"""Values that differ by no more say nothing."""

_FEWEST: Final = 2
"""Of what there must be two before a choice is made."""


def alike(values: Iterable[float]) -> bool:
    """Whether values are too near to each other to choose by; so are none and one."""
    known = list(values)
    return not known or max(known) - min(known) <= ALIKE


def shortfalls_of(
    nodes: Nodes, stats: Stats, usage: Mapping[str, float], collected: Sequence[str]
) -> tuple[str, ...]:
    """What did not guide a search of either machine, in a line each.

    Args:
        nodes: The tree; the facts of the run at its root say what scored it.
        stats: What is known about its nodes.
        usage: What was spent, with how often a scorer stood in for another one.
        collected: The trajectories that ended.
    """
    run = nodes[ROOT]["run"]
    lines = [stood_in(run["policy"])] if usage.get("stood_in") else []
    if "lam" in run["settings"]:
        lines += _of_values(nodes, stats, "f")
        return (*lines, *_of_samples(nodes))
    if run.get("q_model"):
        lines += _of_values(nodes, stats, "q")
    return (*lines, *_of_rollouts(nodes, stats, collected))


def _of_values(nodes: Nodes, stats: Stats, key: str) -> Iterator[str]:
    """Whether most expansions with a choice were not decided by a value."""
    groups = [_values(nodes, stats, each, key) for each in _expanded(nodes)]
    choices = [values for values in groups if len(values) >= _FEWEST]
    unguided = sum(map(alike, choices))
    if 2 * unguided > len(choices):
        yield (
            f"values: alike in {unguided} of {len(choices)} expansions; "
            "the search was not guided there"
        )


def _values(nodes: Nodes, stats: Stats, parent: str, key: str) -> list[float]:
    known = [stats.get(each, {}) for each in children(nodes, parent)]
    values = [each.get(key) for each in known if not is_closed(each)]
    return [value for value in values if isinstance(value, float | int)]


def _of_samples(nodes: Nodes) -> Iterator[str]:
    """Whether a model says the same whenever it is asked twice: then there is no search."""
    groups = [[nodes[each] for each in children(nodes, parent)] for parent in _expanded(nodes)]
    drawn = [group for group in groups if _samples(group) >= _FEWEST]
    if len(drawn) >= _FEWEST and all(len(group) == 1 for group in drawn):
        yield (
            f"samples: of each of {len(drawn)} expansions all were the same text; "
            "there was nothing to choose from"
        )


def _samples(group: Sequence[NodeRecord]) -> int:
    return sum(each["samples"] for each in group)


def _expanded(nodes: Nodes) -> list[str]:
    """The nodes that have children, in order."""
    return list(dict.fromkeys(str(each["parent"]) for each in nodes.values() if each["parent"]))


def _of_rollouts(nodes: Nodes, stats: Stats, collected: Sequence[str]) -> Iterator[str]:
    """Whether rollouts of rStar told paths apart by what they earned, or were all the same."""
    rollouts = stats.get(ROOT, {}).get("visits", 0)
    texts = {trajectory(nodes, each) for each in collected}
    if rollouts >= _FEWEST and len(texts) == 1:
        yield f"samples: all {rollouts} rollouts ended in the same text"
    answers = {nodes[each]["answer"] for each in collected}
    rewards = [stats.get(each, {}).get("reward") or 0.0 for each in collected]
    if len(texts) >= _FEWEST and alike(rewards) and (len(answers) > 1 or None in answers):
        yield (
            f"rewards: alike for all {len(rewards)} trajectories; the search was not guided by them"
        )
