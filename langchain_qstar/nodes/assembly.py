"""A `Solution` from the final state of a search, in one pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_qstar.solution import Solution, SolutionStep, Stopped, TreeNode, Usage, Vote
from langchain_qstar.tree import ROOT, NodeRecord, Nodes, StatRecord, Stats, depth, path


def solution_of(
    nodes: Nodes,
    stats: Stats,
    usage: Mapping[str, float],
    *,
    chosen: str,
    collected: Sequence[str],
    votes: tuple[Vote, ...],
    stopped: Stopped,
) -> Solution:
    """Put the result together.

    Args:
        nodes: The tree; its root holds question, seed, settings and names.
        stats: What is known about its nodes.
        usage: What was spent.
        chosen: The node whose path is the solution.
        collected: The complete states that were popped.
        votes: Their answers.
        stopped: Why the search stopped.

    Returns:
        The solution. Its `answer` is that of `chosen`, which may be None.
    """
    run = nodes[ROOT]["run"]
    return Solution(
        question=run["question"],
        answer=nodes[chosen]["answer"],
        method="qstar",
        steps=tuple(_step(record, stats) for record in path(nodes, chosen)),
        tree=tuple(_node(record, stats) for record in nodes.values()),
        votes=votes,
        unparsed=sum(nodes[each]["answer"] is None for each in collected),
        usage=Usage(**{name: int(usage.get(name, 0)) for name in Usage.model_fields}),
        stopped=stopped,
        seconds=usage.get("seconds", 0.0),
        settings=run["settings"],
        policy=run["policy"],
        q_model=run["q_model"],
        task=run["task"],
        seed=run["seed"],
    )


def _step(record: NodeRecord, stats: Stats) -> SolutionStep:
    learnt = stats.get(record["id"], StatRecord())
    return SolutionStep(
        text=record["text"],
        action=record["action"],
        q=learnt.get("q"),
        visits=learnt.get("visits", 0),
    )


def _node(record: NodeRecord, stats: Stats) -> TreeNode:
    learnt = stats.get(record["id"], StatRecord())
    return TreeNode(
        id=record["id"],
        parent=record["parent"],
        text=record["text"],
        action=record["action"],
        depth=depth(record["id"]),
        terminal=record["terminal"],
        answer=record["answer"],
        logprob=sum(record["logprobs"]) if record["logprobs"] else None,
        samples=record["samples"],
        q=learnt.get("q"),
        reward=learnt.get("reward"),
        g=learnt.get("g"),
        h=learnt.get("h"),
        f=learnt.get("f"),
        visits=learnt.get("visits", 0),
        popped=learnt.get("popped"),
    )
