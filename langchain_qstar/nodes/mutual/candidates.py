"""The candidates of a tree: every solution in it, and where every rollout ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from langchain_qstar.actions import ActionForms, trace_of
from langchain_qstar.nodes.assembly import may_answer
from langchain_qstar.tree import ROOT, Nodes, Stats, is_closed, lineage, path, standing
from langchain_qstar.verification.candidates import Candidate, is_candidate, merged
from langchain_qstar.verification.verdict import Abstain


def candidates_of(
    nodes: Nodes,
    stats: Stats,
    ended: Sequence[str],
    forms: ActionForms,
    *,
    pruned: bool,
    abstain: Abstain = False,
) -> list[Candidate]:
    """The distinct solutions of a search, in the order of their nodes.

    A solution in the tree weighs 1, and 1 more for every rollout that ended in it; what lies
    below a solution is none of the tree's. What states no answer, or an overlong one, and
    what a person closed is left out.

    Args:
        nodes: The tree.
        stats: What is known about it.
        ended: The last node of each rollout.
        forms: How the solutions read as running text.
        pruned: Whether to leave out solutions of which a check failed a step.
        abstain: Which solutions to leave out because the search would withhold them.

    Returns:
        The candidates, those of identical text merged.

    Source:
        The official code.
    """
    weights = Counter(_solutions(nodes))
    weights.update(ended)
    found = sorted(weights, key=lambda each: nodes[each]["order"])
    return merged(
        candidate_at(nodes, stats, each, weights[each], forms)
        for each in found
        if is_candidate(nodes[each]["answer"])
        and not is_closed(stats.get(each, {}))
        and not (pruned and has_failed(nodes, stats, each))
        and may_answer(nodes, stats, each, abstain)
    )


def _solutions(nodes: Nodes) -> Iterator[str]:
    """The first node of each branch that states an answer."""
    for node_id, record in nodes.items():
        above = lineage(node_id)[:-1]
        if record["answer"] is not None and all(nodes[each]["answer"] is None for each in above):
            yield node_id


def candidate_at(
    nodes: Nodes, stats: Stats, node_id: str, weight: int, forms: ActionForms
) -> Candidate:
    """The solution that ends in a node, with what is known about it."""
    record, learnt = nodes[node_id], stats.get(node_id, {})
    trace = trace_of(nodes[ROOT]["run"]["question"], path(nodes, node_id))
    completed = learnt.get("completed")
    return Candidate(
        ids=(node_id,),
        segments=forms.segments(trace),
        answer=str(record["answer"]),
        weight=weight,
        reward=learnt.get("value", 0.0),
        confidence=record.get("confidence", learnt.get("reward") or 0.0),
        completed=None if completed is None else tuple(completed),
        belief=learnt.get("belief"),
        refuted=has_failed(nodes, stats, node_id),
    )


def has_failed(nodes: Nodes, stats: Stats, node_id: str) -> bool:
    """Whether a check failed a step of a trajectory that no re-answer replaced."""
    steps = path(nodes, node_id)
    stand = standing([step["action"] for step in steps])
    return any(
        stands and failed_itself(stats, step["id"])
        for step, stands in zip(steps, stand, strict=True)
    )


def failed_itself(stats: Stats, node_id: str) -> bool:
    """Whether a check failed the step of a node.

    A step that a person approved stands, whatever the checks say.
    """
    learnt = stats.get(node_id, {})
    failed = any(check["verdict"] == "failed" for check in learnt.get("checks", ()))
    return failed and learnt.get("decision") != "approved"
