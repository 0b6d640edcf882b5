"""The event by which every action of rStar tells its new steps."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_qstar.nodes.rstar.recording import shown
from langchain_qstar.state.events import ProposedEvent
from langchain_qstar.tree import NodeRecord


def proposed(parents: Iterable[str], records: Iterable[NodeRecord]) -> ProposedEvent:
    """New steps below `parents`."""
    return {
        "type": "proposed",
        "parents": list(parents),
        "nodes": [
            {
                "id": record["id"],
                "parent": record["parent"] or "",
                "text": shown(record),
                "samples": record["samples"],
                "terminal": record["terminal"],
                "action": record["action"],
            }
            for record in records
        ],
    }
