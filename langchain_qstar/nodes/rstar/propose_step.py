"""propose_step (A1): one more thought, several times."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from langchain_qstar.actions import Thought
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.nodes.rstar.proposing import proposed
from langchain_qstar.nodes.rstar.recording import record_of, step_by
from langchain_qstar.nodes.rstar.sampling import draw_steps
from langchain_qstar.protocols import Completion
from langchain_qstar.state.rstar import ActionView, Expansion
from langchain_qstar.tree import NodeRecord


def make_propose_step(parts: Parts) -> Beat:
    """The node that adds one-step thoughts.

    A thought that states the answer ends its trajectory if `end_at_answer` says so.
    Equal thoughts are nodes of their own, as in the official code: how often a
    thought comes is how often a rollout meets it.
    """

    def propose_step(view: ActionView, write: Writer) -> Generator[Call, Any, Update]:
        work, here = view["work"], parts.with_preface(view)
        drawn, usage = yield from draw_steps(here, work, "propose_step")
        nodes = {
            node_id: _record(parts, expansion, node_id, completion)
            for expansion, node_id, completion in drawn
        }
        write(
            proposed((each["id"] for each, _ in parts.places(work, "propose_step")), nodes.values())
        )
        return {"nodes": nodes, "usage": usage}

    return propose_step


def _record(parts: Parts, expansion: Expansion, node_id: str, completion: Completion) -> NodeRecord:
    step = step_by(completion, "propose_step")
    stated = parts.forms.statement(Thought("propose_step", step))
    states = parts.task.is_terminal(stated)
    return record_of(
        parts,
        expansion,
        node_id,
        completion,
        cut=parts.cut_of(completion),
        action="propose_step",
        terminal=states and parts.settings.end_at_answer,
        answer=parts.task.answer(stated) if states else None,
    )
