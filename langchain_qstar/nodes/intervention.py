"""What a person's decision does to a tree: steps are closed, and others written in their place.

Nothing is changed or taken away: a forbidden step stays, closed with all that is below
it, and an edited one gets a sibling with the person's text, which is scored and checked
as any other and goes before all that a model wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from langchain_qstar.decisions import Decision
from langchain_qstar.nodes.work import descendants, record_of
from langchain_qstar.protocols import Completion, Policy, Task
from langchain_qstar.tree import (
    ROOT,
    NodeRecord,
    Nodes,
    StatRecord,
    Stats,
    child_id,
    children,
)


def intervene(
    nodes: Nodes, decision: Decision, asked: Iterable[str], policy: Policy, task: Task
) -> dict[str, Any]:
    """The update that a decision makes to a search.

    Args:
        nodes: The tree.
        decision: About steps of it.
        asked: The steps that were asked about; those that it does not name are approved.
        policy: Whose tokens the length of a new step is counted in.
        task: What ends a step and where an answer is.

    Returns:
        `nodes` and `stats` to be put into the state.
    """
    stats: dict[str, StatRecord] = {each: {"decision": "approved"} for each in asked}
    for each in decision.forbid:
        stats |= _closed(nodes, each, {"closed": "forbidden by a person", "decision": "forbidden"})
    fresh: dict[str, NodeRecord] = {}
    for each, text in decision.edit.items():
        node_id = _next_child({**nodes, **fresh}, each)
        order = len(nodes) + len(fresh)
        fresh[node_id] = _written(nodes, node_id, text, policy, task, order=order)
        fresh[node_id]["replaces"] = each
        reason = f"a person wrote {node_id} in its place"
        stats |= _closed(nodes, each, {"closed": reason, "decision": "replaced"})
        stats[node_id] = {"decision": "approved"}
    return {"nodes": fresh, "stats": stats}


def _closed(nodes: Nodes, node_id: str, mark: StatRecord) -> dict[str, StatRecord]:
    return dict.fromkeys((node_id, *descendants(nodes, node_id)), mark)


def _next_child(nodes: Mapping[str, NodeRecord], sibling: str) -> str:
    parent = str(nodes[sibling]["parent"])
    return child_id(parent, sum(1 for _ in children(nodes, parent)))


def _written(
    nodes: Nodes, node_id: str, text: str, policy: Policy, task: Task, *, order: int
) -> NodeRecord:
    """The record of a step with a person's text, ended as the task ends steps."""
    if task.stop and not text.endswith(task.stop):
        text += task.stop[0]
    settings: dict[str, Any] = nodes[ROOT]["run"]["settings"]
    return record_of(
        Completion(text, token_ids=None, generated=policy.count_tokens(text)),
        node_id,
        nodes,
        order=order,
        action="propose_step",
        task=task,
        window=policy.window,
        max_depth=settings["max_depth"],
    )


def undecided(stats: Stats) -> Iterator[str]:
    """Steps that failed a check and that no person has decided about."""
    for each, learnt in stats.items():
        failed = any(check["verdict"] == "failed" for check in learnt.get("checks", ()))
        if failed and "decision" not in learnt:
            yield each


def unapproved(stats: Stats, ids: Iterable[str]) -> list[str]:
    """Those of `ids` that no person has approved; the question itself needs no approval."""
    return [each for each in ids if each != ROOT and stats[each].get("decision") != "approved"]
