"""Trajectories of searches: of Q*, or of Monte Carlo tree search over single steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from langchain_qstar.chains import QStarChain, RStarChain
from langchain_qstar.protocols import Policy, State, Step, Task
from langchain_qstar.qstar import superstep_limit
from langchain_qstar.rstar import rstar_superstep_limit
from langchain_qstar.training.rollouts import LabelSettings
from langchain_qstar.training.step_tree import QUESTION, StepTree
from langchain_qstar.tree import ROOT, NodeRecord, Nodes, path


@dataclass(frozen=True)
class Searches:
    """Searches questions, and counts the trajectories that are found.

    Attributes:
        policy: Whose steps they are.
        task: How questions are asked.
        settings: Which search, and how many trajectories.
        q_model: What guides Q*.
    """

    policy: Policy
    task: Task
    settings: LabelSettings
    q_model: Any = "default"

    async def tree(self, question: str, is_right: Callable[[str], bool]) -> StepTree:
        """The tree of a search, with a count for every trajectory in it.

        Of Q* these are the complete states, as often as each was sampled; of Monte Carlo tree
        search the ends of its rollouts, as often as one ended there.
        """
        by_q = self.settings.trajectories == "qstar"
        graph, limit = self._graph
        found = await graph.ainvoke(
            {"question": question, "seed": self.settings.seed},
            {"recursion_limit": limit},
            output_keys=["nodes", "usage", *(() if by_q else ("ended",))],
        )
        nodes = found["nodes"]
        ends = _complete(nodes) if by_q else Counter(found["ended"])
        return _tree_of(nodes, found["usage"], ends, is_right, self.task)

    @cached_property
    def _graph(self) -> tuple[Any, int]:
        """The graph, and the most supersteps it takes."""
        return self._by_q() if self.settings.trajectories == "qstar" else self._by_rollouts()

    def _by_q(self) -> tuple[Any, int]:
        chain = QStarChain(
            self.policy,
            self.q_model,
            task=self.task,
            settings={
                "num_trajectories": self.settings.samples,
                "temperature": self.settings.temperature,
            },
        )
        return chain.graph, superstep_limit(chain.settings)

    def _by_rollouts(self) -> tuple[Any, int]:
        """The tree search of rStar with single steps alone; it sees no gold answer."""
        settings: dict[str, Any] = {
            "actions": ("propose_step",),
            "num_rollouts": self.settings.samples,
            "temperature": self.settings.temperature,
            "verify": "never",
            "fallback": False,
        }
        chain = RStarChain(self.policy, task=self.task, settings=settings)
        return chain.graph, rstar_superstep_limit(chain.settings)


def _complete(nodes: Nodes) -> dict[str, int]:
    """The complete states, and how often each was sampled."""
    return {each["id"]: each["samples"] for each in nodes.values() if each["terminal"]}


def _tree_of(
    nodes: Nodes,
    usage: dict[str, float],
    ends: Mapping[str, int],
    is_right: Callable[[str], bool],
    task: Task,
) -> StepTree:
    question = nodes[ROOT]["run"]["question"]
    tree = StepTree(
        State(question, task.messages(question)),
        tokens=int(usage.get("completion_tokens", 0)),
        completions=int(usage.get("completions", 0)),
    )
    for record in nodes.values():
        records = path(nodes, record["id"])
        numbers = tree.extend(QUESTION, [_step(each) for each in records], ends=record["terminal"])
        if times := ends.get(record["id"], 0):
            text = "".join(each["text"] for each in records)
            whole = record["terminal"] or task.is_terminal(text)
            tree.count(numbers, right=whole and is_right(text), times=times)
    return tree


def _step(record: NodeRecord) -> Step:
    ids = record["token_ids"]
    return Step(
        record["text"],
        token_ids=None if ids is None else tuple(ids),
        logprobs=tuple(record["logprobs"]),
    )
