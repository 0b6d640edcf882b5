"""Which complete trajectory is the result, and how the others voted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_qstar.nodes.frontier import is_open, place, written
from langchain_qstar.nodes.mutual.candidates import has_failed
from langchain_qstar.solution import Vote
from langchain_qstar.tree import ROOT, Nodes, Stats, is_closed, samples_of

Rule = Literal["max_f", "majority", "weighted_majority"]
Equivalent = Callable[[str, str], bool]


@dataclass(slots=True)
class Ballot:
    """Trajectories whose answers are the same answer, best first.

    Attributes:
        answer: As the best of them states it.
        ids: Their nodes.
        weight: What they weigh together.
        unrefuted: The first of which no check failed a step, or that a person wrote.
    """

    answer: str
    ids: list[str]
    weight: float
    unrefuted: str | None = None

    @property
    def standing(self) -> str:
        """The trajectory that stands for all."""
        return self.unrefuted or self.ids[0]


def heaviest(ballot: Ballot) -> tuple[float, bool]:
    """The key by which ballots are taken, smallest first: by weight, and not refuted."""
    return (-ballot.weight, ballot.unrefuted is None)


def best(nodes: Nodes, stats: Stats, ids: Iterable[str]) -> list[str]:
    """`ids` by f, then depth, then insertion, as the frontier would pop them."""
    return sorted(ids, key=lambda each: place(nodes, stats, each))


def choose(
    nodes: Nodes, stats: Stats, collected: Sequence[str], rule: Rule, equivalent: Equivalent
) -> str | None:
    """The collected trajectory to return, or None when no answer of any parses.

    `max_f` takes the highest f, not the first that was popped, because pops are
    not monotone in f. The other rules take the best of the answer with the most
    trajectories or the largest sum of f. Among equals, of f or of votes, those come
    first of which no check failed a step; a tie that is left goes to the answer with the
    best single trajectory.

    Source: choice 9.
    """
    ballots = count(nodes, stats, collected, rule, equivalent)
    if not ballots:
        return None
    if rule == "max_f":
        return ballots[0].ids[0]
    return min(ballots, key=heaviest).standing


def count(
    nodes: Nodes, stats: Stats, collected: Sequence[str], rule: Rule, equivalent: Equivalent
) -> list[Ballot]:
    """One ballot per distinct answer, in order of their best trajectories.

    They are ordered by f; of equal f those come first of which no check failed a step.
    A trajectory weighs 1, or its f (not below 0) under `weighted_majority`;
    when every such weight is 0, each weighs 1 again. With `count_repeats` it weighs
    that as often as it was drawn.
    """
    ballots: list[Ballot] = []
    weights = {each: max(stats[each]["f"], 0.0) for each in collected}
    if rule != "weighted_majority" or not any(weights.values()):
        weights = dict.fromkeys(collected, 1.0)
    weights = {each: weight * samples_of(nodes, each) for each, weight in weights.items()}
    refuted = {
        each: has_failed(nodes, stats, each) and not written(nodes, each) for each in collected
    }

    def rank(node_id: str) -> tuple[float, bool, tuple[float, ...]]:
        where = place(nodes, stats, node_id)
        return where[0], refuted[node_id], where

    for node_id in sorted(collected, key=rank):
        answer = nodes[node_id]["answer"]
        if answer is None:
            continue
        for ballot in ballots:
            if equivalent(ballot.answer, answer):
                break
        else:
            ballot = Ballot(answer, [], 0.0)
            ballots.append(ballot)
        ballot.ids.append(node_id)
        ballot.weight += weights[node_id]
        if ballot.unrefuted is None and not refuted[node_id]:
            ballot.unrefuted = node_id
    return ballots


def votes(
    nodes: Nodes, stats: Stats, collected: Sequence[str], rule: Rule, equivalent: Equivalent
) -> tuple[Vote, ...]:
    """The ballots as shares of the whole, the heaviest first."""
    ballots = count(nodes, stats, collected, rule, equivalent)
    total = sum(ballot.weight for ballot in ballots)
    ballots.sort(key=heaviest)
    return tuple(
        Vote(
            answer=ballot.answer,
            count=sum(samples_of(nodes, each) for each in ballot.ids),
            weight=ballot.weight / total if total else 0.0,
        )
        for ballot in ballots
    )


def open_terminals(nodes: Nodes, stats: Stats) -> list[str]:
    """Complete states that were inserted and never popped, best first (choice 8)."""
    found = [each for each in nodes if nodes[each]["terminal"] and is_open(stats, each)]
    return best(nodes, stats, found)


def unscored_terminals(nodes: Nodes, stats: Stats) -> list[str]:
    """Complete states that a search ended before it could score, in the order of insertion."""
    return [
        each
        for each, record in nodes.items()
        if record["terminal"] and "f" not in stats.get(each, {}) and record["action"] != "finish"
    ]


def best_popped(nodes: Nodes, stats: Stats) -> str:
    """The popped state that is best to complete: highest f, the root only if alone.

    Source: choice 7.
    """
    popped = [
        each
        for each, learnt in stats.items()
        if "popped" in learnt
        and each != ROOT
        and not nodes[each]["terminal"]
        and not is_closed(learnt)
    ]
    return next(iter(best(nodes, stats, popped)), ROOT)
