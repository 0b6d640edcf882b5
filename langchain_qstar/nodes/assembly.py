"""A `Solution` from the final state of a search, in one pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_qstar.solution import (
    Check,
    Solution,
    SolutionStep,
    Stopped,
    TreeNode,
    Usage,
    Vote,
    verification,
)
from langchain_qstar.tree import (
    ROOT,
    NodeRecord,
    Nodes,
    StatRecord,
    Stats,
    depth,
    is_closed,
    path,
)


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
        The solution. Its `answer` is that of `chosen`, which may be None; it is
        None too when the run abstains and nothing verifies it.
    """
    run = nodes[ROOT]["run"]
    steps = steps_to(nodes, stats, chosen)
    verified, verified_by = verification(steps)
    withheld = run["settings"]["abstain"] and not verified
    return Solution(
        question=run["question"],
        answer=None if withheld else nodes[chosen]["answer"],
        method="qstar",
        verified=verified,
        verified_by=verified_by,
        steps=steps,
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


def steps_to(nodes: Nodes, stats: Stats, node_id: str) -> tuple[SolutionStep, ...]:
    """The steps that lead to a node, with what is known about them."""
    return tuple(_step(record, stats) for record in path(nodes, node_id))


def _step(record: NodeRecord, stats: Stats) -> SolutionStep:
    learnt = stats.get(record["id"], StatRecord())
    return SolutionStep(
        text=record["text"],
        action=record["action"],
        q=learnt.get("q"),
        visits=learnt.get("visits", 0),
        checks=_checks(learnt),
    )


def _checks(learnt: StatRecord) -> tuple[Check, ...]:
    return tuple(Check.model_validate(each) for each in learnt.get("checks", ()))


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
        checks=_checks(learnt),
        closed=learnt.get("closed") if is_closed(learnt) else None,
        replaces=record.get("replaces"),
    )
