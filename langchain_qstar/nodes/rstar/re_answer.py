"""re_answer (A4): the last sub-question answered again, by itself."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from langchain_qstar.actions import Thought, Trace, trace_of
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.nodes.rstar.polling import Poll, hold, shares_for, voted
from langchain_qstar.nodes.rstar.proposing import proposed
from langchain_qstar.nodes.rstar.recording import record_of, step_by
from langchain_qstar.nodes.rstar.voting import Tally
from langchain_qstar.protocols import Completion
from langchain_qstar.state.rstar import ActionView, Expansion, Work
from langchain_qstar.tree import NodeRecord


def make_re_answer(parts: Parts) -> Beat:
    """The node that adds another answer to a sub-question, the one most samples give."""

    def re_answer(view: ActionView, write: Writer) -> Generator[Call, Any, Update]:
        work, here = view["work"], parts.with_preface(view)
        polls = [
            (expansion, _poll(parts, work, expansion, slots.ids(expansion["id"])[0]))
            for expansion, slots in parts.places(work, "re_answer")
        ]
        shares = shares_for(parts, work)
        usage = yield from hold(here, work["seed"], [poll for _, poll in polls], shares)
        nodes: dict[str, NodeRecord] = {}
        for expansion, poll in polls:
            if (completion := poll.chosen(parts)) is not None:
                cut = parts.cut_of(completion)
                record = record_of(
                    parts, expansion, poll.node_id, completion, action="re_answer", cut=cut
                )
                nodes[poll.node_id] = poll.result(record)
        write(proposed((expansion["id"] for expansion, _ in polls), nodes.values()))
        write(voted(list(nodes.values())))
        return {"nodes": nodes, "usage": usage}

    return re_answer


def _poll(parts: Parts, work: Work, expansion: Expansion, node_id: str) -> Poll:
    trace = trace_of(work["question"], expansion["path"])
    opening = parts.forms.opening("re_answer", trace)
    return Poll(node_id, "re_answer", opening, _thought_in(trace), Tally(parts.settings.num_votes))


def _thought_in(trace: Trace) -> Callable[[Completion], Thought]:
    def thought(completion: Completion) -> Thought:
        return replace(trace.thoughts[-1], step=step_by(completion, "re_answer"))

    return thought
