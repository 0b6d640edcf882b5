"""Selection and simulation: where a rollout goes next.

Pure functions of the tree, the rollout and a way of choosing at random; the
search never holds a generator. Source: the official code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from langchain_qstar.mcts import uct
from langchain_qstar.nodes.rstar.slots import Rules
from langchain_qstar.seeds import uniform
from langchain_qstar.state.rstar import Rollout
from langchain_qstar.tree import ROOT, Nodes, Stats, depth, is_closed, lineage

Choose = Callable[[int, int, int, Sequence[float]], int]
"""(run seed, rollout, depth, weights) -> the index of one weight, at random."""


def seeded_choice(seed: int, rollout: int, level: int, weights: Sequence[float]) -> int:
    """A random choice that is a function of where it is made.

    Args:
        seed: Of the run.
        rollout: Its number.
        level: Depth of the node whose child is chosen.
        weights: Not negative, at least one; if all are 0 they are equal.

    Returns:
        An index, with a probability in proportion to its weight.
    """
    if not any(weights):
        weights = [1.0] * len(weights)
    sums = list(accumulate(weights))
    point = uniform(seed, f"{rollout}/{level}") * sums[-1]
    return next((place for place, total in enumerate(sums) if point < total), len(sums) - 1)


@dataclass(frozen=True, slots=True)
class Descent:
    """A tree as the rollouts see it.

    Attributes:
        nodes: Its nodes.
        stats: What is known about them.
        rules: Which children a node may have.
        seed: Of the run.
        choose: Makes the random choices.
    """

    nodes: Nodes
    stats: Stats
    rules: Rules
    seed: int
    choose: Choose = seeded_choice

    def is_end(self, node_id: str) -> bool:
        """Whether no rollout can go on from a node: an answer, too deep, or without children."""
        record = self.nodes[node_id]
        if record["terminal"] or record["truncated"]:
            return True
        return self.is_expanded(node_id) and not self.children(node_id)

    def children(self, node_id: str) -> list[str]:
        """The children of a node that a rollout may go on to: those that are not closed."""
        every = self.rules.children(self.nodes, node_id)
        return [each for each in every if not self.is_closed(each)]

    def is_closed(self, node_id: str) -> bool:
        """Whether a person closed a node, its step repeats one of its path, or was cut short."""
        record = self.nodes[node_id]
        if record.get("repeats", False) or "cut" in record:
            return True
        return is_closed(self.stats.get(node_id, {}))

    def is_expanded(self, node_id: str) -> bool:
        """Whether a node has got all its children."""
        return "expanded" in self.stats.get(node_id, {})

    def visits(self, node_id: str) -> int:
        """N of a node."""
        return self.stats.get(node_id, {}).get("visits", 0)

    def leaf(self, rollout: int, weight: float, in_flight: Iterable[Rollout] = ()) -> str:
        """Where a new rollout begins to simulate.

        From the root down: a child that no rollout went through comes first, at
        random; if there is none, the child of highest UCT, the earlier of equals.

        Args:
            rollout: The number of the new rollout.
            weight: c_i of UCT.
            in_flight: Other rollouts that have not ended.
        """
        unobserved = Counter(each for other in in_flight for each in lineage(other["tip"]))
        node_id = ROOT
        while children := self.children(node_id):
            fresh = [each for each in children if not self.visits(each) + unobserved[each]]
            if fresh:
                return self._pick(rollout, node_id, fresh)
            node_id = self._best(node_id, children, weight, unobserved)
        return node_id

    def _best(
        self, parent: str, children: Sequence[str], weight: float, unobserved: Counter[str]
    ) -> str:
        parent_visits = self.visits(parent) + unobserved[parent]

        def worth(node_id: str) -> float:
            value = self.stats.get(node_id, {}).get("value", 0.0)
            visits = self.visits(node_id)
            return uct(value, visits, parent_visits, weight, unobserved[node_id])

        return max(children, key=worth)

    def simulate(self, rollout: Rollout) -> Rollout:
        """The rollout gone on to random children until it ends or waits for an expansion.

        One that stands at or below a step which a person closed goes on from the step
        that was written in its place, or else from the one above.
        """
        tip = self._standing(rollout["tip"])
        while self.is_expanded(tip) and (children := self.children(tip)):
            tip = self._pick(rollout["number"], tip, children)
        return {"number": rollout["number"], "tip": tip}

    def _standing(self, tip: str) -> str:
        closed = next(filter(self.is_closed, lineage(tip)), None)
        if closed is None:
            return tip
        above = closed.rpartition(".")[0]
        written = self.rules.written(self.nodes, above)
        instead = (each for each in written if self.nodes[each].get("replaces") == closed)
        return self._standing(next(instead, above))

    def _pick(self, rollout: int, parent: str, children: Sequence[str]) -> str:
        weights = [self._prior(each) for each in children]
        return children[self.choose(self.seed, rollout, depth(parent), weights)]

    def _prior(self, node_id: str) -> float:
        if self.rules.settings.prior == "uniform":
            return 1.0
        return max(self.stats.get(node_id, {}).get("q") or 0.0, 0.0)
