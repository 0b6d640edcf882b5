"""What a trajectory earns that ends in an answer.

Source: the official code. Everything else earns 0.
"""

from __future__ import annotations

from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.tree import Nodes


def reward_of(parts: Parts, nodes: Nodes, node_id: str, q: float | None) -> float:
    """The reward of a terminal node, in [0, 1].

    With `self_consistency` it is the confidence of the node's own vote; of a one-step
    thought, which nobody votes on, `agreement`; and 1 of what a person wrote. With
    `q_model` it is its Q-value. A node whose answer does not parse earns 0.

    Args:
        parts: Of the machine.
        nodes: The tree.
        node_id: A terminal node.
        q: Its Q-value, if it has one.
    """
    record = nodes[node_id]
    if record["answer"] is None:
        return 0.0
    if parts.settings.reward == "q_model":
        return q or 0.0
    if "replaces" in record:
        return 1.0
    if "confidence" in record:
        return record["confidence"]
    return agreement(parts, nodes, node_id, record["answer"])


def agreement(parts: Parts, nodes: Nodes, node_id: str, answer: str) -> float:
    """The share of the votes beside a one-step thought that give its answer.

    Those are the votes on the remaining steps of the same state. Where that action was not
    taken they are the one-step thoughts of the same state, this one included.
    """
    same = parts.task.equivalent
    for sibling in parts.rules.siblings(nodes, node_id, "finish"):
        record = nodes[sibling]
        if not record.get("votes"):  # a budget cut them all short
            continue
        agreeing = sum(count for each, count in record["tally"].items() if same(each, answer))
        return agreeing / record["votes"]
    beside = (nodes[each] for each in parts.rules.siblings(nodes, node_id, "propose_step"))
    thoughts = [each for each in beside if "cut" not in each]
    said = (each["answer"] for each in thoughts)
    return sum(each is not None and same(each, answer) for each in said) / len(thoughts)
