"""finish (A2): all remaining steps at once, as often as votes are wanted."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from langchain_qstar.actions import Thought, trace_of
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.nodes.rstar.polling import Poll, hold, shares_for, voted
from langchain_qstar.nodes.rstar.proposing import proposed
from langchain_qstar.nodes.rstar.recording import record_of, step_by
from langchain_qstar.nodes.rstar.voting import Tally
from langchain_qstar.protocols import Completion
from langchain_qstar.state.rstar import ActionView, Expansion, Work
from langchain_qstar.tree import NodeRecord


def make_finish(parts: Parts) -> Beat:
    """The node that adds whole solutions, one a state, of the answer most samples give."""

    def finish(view: ActionView, write: Writer) -> Generator[Call, Any, Update]:
        work, here = view["work"], parts.with_preface(view)
        polls = [
            (expansion, _poll(parts, work, expansion, slots.ids(expansion["id"])[0]))
            for expansion, slots in parts.places(work, "finish")
        ]
        shares = shares_for(parts, work)
        usage = yield from hold(here, work["seed"], [poll for _, poll in polls], shares)
        nodes = {
            poll.node_id: record
            for expansion, poll in polls
            if (record := _record(parts, expansion, poll)) is not None
        }
        write(proposed((expansion["id"] for expansion, _ in polls), nodes.values()))
        write(voted(list(nodes.values())))
        return {"nodes": nodes, "usage": usage}

    return finish


def _poll(parts: Parts, work: Work, expansion: Expansion, node_id: str) -> Poll:
    trace = trace_of(work["question"], expansion["path"])
    return Poll(
        node_id,
        "finish",
        parts.forms.opening("finish", trace),
        _thought,
        Tally(parts.settings.num_last_votes),
        final=True,
    )


def _thought(completion: Completion) -> Thought:
    return Thought("finish", step_by(completion, "finish"))


def _record(parts: Parts, expansion: Expansion, poll: Poll) -> NodeRecord | None:
    completion = poll.chosen(parts)
    if completion is None:
        return None
    record = record_of(
        parts,
        expansion,
        poll.node_id,
        completion,
        action="finish",
        terminal=True,
        answer=poll.tally.winner,
        cut=parts.cut_of(completion),
    )
    return poll.result(record)
