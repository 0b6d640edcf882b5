"""rephrase (A5): the question in other words, which takes its place below."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from langchain_qstar.nodes.phase import Beat, Call, Update, Writer
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.nodes.rstar.proposing import proposed
from langchain_qstar.nodes.rstar.recording import record_of
from langchain_qstar.nodes.rstar.sampling import draw_steps
from langchain_qstar.state.rstar import ActionView


def make_rephrase(parts: Parts) -> Beat:
    """The node that adds a rephrasing of the question."""

    def rephrase(view: ActionView, write: Writer) -> Generator[Call, Any, Update]:
        work, here = view["work"], parts.with_preface(view)
        drawn, usage = yield from draw_steps(here, work, "rephrase")
        nodes = {
            node_id: record_of(
                parts,
                expansion,
                node_id,
                completion,
                action="rephrase",
                cut=parts.cut_of(completion),
            )
            for expansion, node_id, completion in drawn
        }
        write(proposed((each["id"] for each, _ in parts.places(work, "rephrase")), nodes.values()))
        return {"nodes": nodes, "usage": usage}

    return rephrase
