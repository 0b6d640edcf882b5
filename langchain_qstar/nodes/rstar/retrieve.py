"""retrieve: what a retriever finds, as a step. Not one of rStar's five actions."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from langchain_qstar.nodes.phase import Beat, Call, Update, Writer
from langchain_qstar.nodes.retrieving import Retrieval, with_passages
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.nodes.rstar.proposing import proposed
from langchain_qstar.nodes.rstar.recording import record_of
from langchain_qstar.state.rstar import ActionView
from langchain_qstar.tree import NodeRecord


def make_retrieve(parts: Parts, retrieval: Retrieval) -> Beat:
    """The node that adds passages, one step a state; one without passages has the reason."""

    def retrieve(view: ActionView, write: Writer) -> Generator[Call, Any, Update]:
        work = view["work"]
        places = {
            slots.ids(expansion["id"])[0]: expansion
            for expansion, slots in parts.places(work, "retrieve")
        }
        paths = {node_id: expansion["path"] for node_id, expansion in places.items()}
        found = yield from retrieval.found(work["question"], paths)
        nodes: dict[str, NodeRecord] = {}
        for node_id, each in found.items():
            completion = retrieval.completion(each)
            record = record_of(parts, places[node_id], node_id, completion, action="retrieve")
            nodes[node_id] = with_passages(record, each)
        write(proposed((expansion["id"] for expansion in places.values()), nodes.values()))
        return {"nodes": nodes}

    return retrieve
