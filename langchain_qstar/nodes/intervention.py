"""What a person's decision does to a tree: steps are closed, and others written in their place.

Nothing is changed or taken away: a forbidden step stays, closed with all that is below
it, and an edited one gets a sibling with the person's text, which is scored and checked
as any other and goes before all that a model wrote. Steps that read the same after the
same steps are one step to a person, so a decision about one is about all of them.

What a machine has of its own about it is how a step of its tree is written: an `Author`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from langchain_qstar.decisions import Decision
from langchain_qstar.nodes.assembly import Shown, text_of
from langchain_qstar.nodes.work import record_of
from langchain_qstar.protocols import Completion, Policy, Task
from langchain_qstar.tree import (
    ROOT,
    NodeRecord,
    Nodes,
    StatRecord,
    Stats,
    below,
    child_id,
    children,
    path,
)

Follow = Callable[[Mapping[str, Any], Decision, Iterable[str]], dict[str, Any]]
"""(the state of a machine, a decision, the steps that were asked about) -> the update.

The decision is about steps of the tree. Steps that were asked about and that it does not
name are approved. The update holds `nodes` and `stats`, and what else of the state the
machine must change with them."""

Author = Callable[[Nodes, str, str, int], NodeRecord]
"""(the tree, the id of a step, a person's text, its place in the order of insertion) -> the
record of a new sibling of that step."""


def intervene(
    nodes: Nodes,
    decision: Decision,
    asked: Iterable[str],
    author: Author,
    *,
    order: int,
    shown: Shown = text_of,
) -> dict[str, Any]:
    """The update that a decision makes to a tree.

    Args:
        nodes: The tree.
        decision: About steps of it.
        asked: The steps that were asked about; those that it does not name are approved.
        author: Writes a step of this tree.
        order: `order` of the first new step.
        shown: The text of a step as a person reads it.

    Returns:
        `nodes` and `stats` to be put into the state.
    """
    same = _same_reading(nodes, shown)
    stats: dict[str, StatRecord] = {
        twin: {"decision": "approved"} for each in asked for twin in same(each)
    }
    for each in decision.forbid:
        mark: StatRecord = {"closed": "forbidden by a person", "decision": "forbidden"}
        stats |= _closed(nodes, same(each), mark)
    fresh: dict[str, NodeRecord] = {}
    for each, text in decision.edit.items():
        record = author({**nodes, **fresh}, each, text, order + len(fresh))
        fresh[record["id"]] = {**record, "replaces": each}
        reason = f"a person wrote {record['id']} in its place"
        stats |= _closed(nodes, same(each), {"closed": reason, "decision": "replaced"})
        stats[record["id"]] = {"decision": "approved"}
    return {"nodes": fresh, "stats": stats}


def _same_reading(nodes: Nodes, shown: Shown) -> Callable[[str], list[str]]:
    """From the id of a step to those of all that read the same after the same steps."""
    readings: dict[str, str] = {}
    for node_id, record in nodes.items():
        before = readings.get(record["parent"] or "", "")
        readings[node_id] = before + shown(record)
    return lambda node_id: [each for each in nodes if readings[each] == readings[node_id]]


def _closed(nodes: Nodes, ids: Iterable[str], mark: StatRecord) -> dict[str, StatRecord]:
    return {each: mark for top in ids for each in (top, *below(nodes, top))}


def make_follow(policy: Policy, task: Task) -> Follow:
    """What decisions do to the tree of Q*.

    Args:
        policy: Whose tokens the length of a person's step is counted in.
        task: What ends a step and where an answer is.
    """

    def written(nodes: Nodes, replaced: str, text: str, order: int) -> NodeRecord:
        parent = str(nodes[replaced]["parent"])
        settings: dict[str, Any] = nodes[ROOT]["run"]["settings"]
        passages = nodes[replaced]["action"] == "retrieve"
        said = as_passages(text, task.stop) if passages else ended(text, task.stop)
        return record_of(
            Completion(said, token_ids=None, generated=policy.count_tokens(said)),
            child_id(parent, sum(1 for _ in children(nodes, parent))),
            nodes,
            order=order,
            action="retrieve" if passages else "propose_step",
            task=task,
            window=policy.window,
            max_depth=settings["max_depth"],
        )

    def follow(
        state: Mapping[str, Any], decision: Decision, asked: Iterable[str]
    ) -> dict[str, Any]:
        nodes = state["nodes"]
        return intervene(nodes, decision, asked, written, order=len(nodes))

    return follow


def is_refused(nodes: Nodes, stats: Stats, text: str, shown: Shown = text_of) -> bool:
    """Whether a text begins with steps of which a person has closed the last."""
    closed = (
        each
        for each, learnt in stats.items()
        if learnt.get("decision") in {"forbidden", "replaced"}
    )
    return any(text.startswith("".join(map(shown, path(nodes, each)))) for each in closed)


def ended(text: str, stop: tuple[str, ...]) -> str:
    """A person's text, ended as steps are."""
    return text if not stop or text.endswith(stop) else text + stop[0]


def as_passages(text: str, stop: tuple[str, ...]) -> str:
    """What a person writes in the place of passages, ended as these are.

    It stays what is read and not reasoned: no answer, not checked, not scored.
    """
    return ended(text, stop or ("\n",))


def nameable(nodes: Nodes) -> list[str]:
    """The steps that a person may name: not the question, nor a retrieval that found nothing.

    Such a one has no text, so it would be the same step as the one before it.
    """
    return [each for each, record in nodes.items() if each != ROOT and "failure" not in record]


def undecided(stats: Stats) -> Iterator[str]:
    """Steps that failed a check and that no person has decided about."""
    for each, learnt in stats.items():
        failed = any(check["verdict"] == "failed" for check in learnt.get("checks", ()))
        if failed and "decision" not in learnt:
            yield each


def unapproved(stats: Stats, ids: Iterable[str]) -> list[str]:
    """Those of `ids` that no person has approved; the question itself needs no approval."""
    known = ((each, stats.get(each, {})) for each in ids if each != ROOT)
    return [each for each, learnt in known if learnt.get("decision") != "approved"]
