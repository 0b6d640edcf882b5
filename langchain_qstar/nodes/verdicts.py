"""The events that tell what checks, and people, say of steps.

What such a verdict does to the search is written down by the node that asked for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from langchain_qstar.nodes.phase import Writer
from langchain_qstar.state.events import CheckedEvent, PrunedEvent
from langchain_qstar.tree import NodeRecord, StatRecord


def tell_verdicts(
    write: Writer, nodes: Mapping[str, NodeRecord], learnt: Mapping[str, StatRecord]
) -> None:
    """Tell which steps were checked, and which of them are closed for it."""
    judged = {each: stat["checks"] for each, stat in learnt.items() if stat.get("checks")}
    if judged:
        event: CheckedEvent = {
            "type": "checked",
            "nodes": [
                {"id": each, "text": nodes[each]["text"], "checks": checks}
                for each, checks in judged.items()
            ],
        }
        write(event)
    tell_pruned(write, nodes, learnt)


def tell_pruned(
    write: Writer, nodes: Mapping[str, NodeRecord], learnt: Mapping[str, StatRecord]
) -> None:
    """Tell which steps of the tree are closed by what was learnt about them."""
    closed = {each: stat["closed"] for each, stat in learnt.items() if stat.get("closed")}
    if closed:
        event: PrunedEvent = {
            "type": "pruned",
            "nodes": [
                {"id": each, "text": nodes[each]["text"], "reason": reason}
                for each, reason in closed.items()
            ],
        }
        write(event)
