"""subquestion (A3): the next sub-question, several times, and the answer to each.

Two phases: the questions, then the votes on all their answers. How many votes
an answer gets is decided for each question by itself; the official code lets
the last one decide for all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any

from langchain_qstar.actions import Thought, Trace, trace_of
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer
from langchain_qstar.nodes.remembering import Subquestion, recalled
from langchain_qstar.nodes.replies import is_cut
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.nodes.rstar.polling import Poll, hold, voted
from langchain_qstar.nodes.rstar.proposing import proposed
from langchain_qstar.nodes.rstar.recording import record_of, step_by, written
from langchain_qstar.nodes.rstar.sampling import Drawn, draw_steps
from langchain_qstar.nodes.rstar.voting import SHARES_LAST, Tally
from langchain_qstar.protocols import Completion, Step
from langchain_qstar.state.channels import add_usage
from langchain_qstar.state.rstar import ActionView, Expansion, Work
from langchain_qstar.tree import NodeRecord, RememberedRecord


@dataclass(frozen=True, slots=True)
class _Asked:
    """A new sub-question and the vote on its answer, or the answer that is remembered."""

    expansion: Expansion
    question: Completion
    last: bool
    poll: Poll
    remembered: RememberedRecord | None = None

    def record(self, parts: Parts) -> NodeRecord | None:
        if self.remembered is not None:
            return self._recalled(parts, self.remembered)
        completion = self.poll.chosen(parts)
        if completion is None:
            return None
        record = record_of(
            parts,
            self.expansion,
            self.poll.node_id,
            completion,
            action="subquestion",
            terminal=self.last,
            answer=self.poll.tally.winner if self.last else None,
            cut=parts.cut_of(completion),
        )
        return self.poll.result({**record, "subquestion": written(self.question)})

    def _recalled(self, parts: Parts, memory: RememberedRecord) -> NodeRecord:
        """The record with what is remembered, and with the votes of then."""
        size = parts.policy.count_tokens(memory["text"])
        read = self.question.prompt_tokens + self.question.generated
        record = record_of(
            parts,
            self.expansion,
            self.poll.node_id,
            Completion(memory["text"], generated=size, prompt_tokens=read),
            action="subquestion",
            terminal=self.last,
            answer=memory["answer"] if self.last else None,
        )
        return {
            **record,
            "subquestion": written(self.question),
            "remembered": memory,
            "confidence": memory["confidence"],
            "votes": memory["votes"],
            "tally": {memory["answer"]: round(memory["confidence"] * memory["votes"])},
        }


def make_subquestion(parts: Parts) -> Beat:
    """The node that adds sub-questions with their answers.

    A sub-question that asks what the question asks ends its trajectory, and its
    answer gets the votes of a whole solution. Nobody votes on an answer that is remembered.
    """

    def subquestion(view: ActionView, write: Writer) -> Generator[Call, Any, Update]:
        work, here = view["work"], parts.with_preface(view)
        drawn, usage = yield from draw_steps(here, work, "subquestion")
        asked = [_asked(parts, work, *each) for each in drawn if not is_cut(each[2])]
        memories = yield from recalled(
            here.preface.get("memory"),
            [Subquestion(each.question.text, each.last) for each in asked],
        )
        asked = [
            replace(each, remembered=memory) for each, memory in zip(asked, memories, strict=True)
        ]
        polls = [each.poll for each in asked if each.remembered is None]
        spent = yield from hold(here, work["seed"], polls, SHARES_LAST)
        nodes = {
            record["id"]: record for each in asked if (record := each.record(parts)) is not None
        }
        nodes |= _cut_short(parts, drawn)
        parents = (expansion["id"] for expansion, _ in parts.places(work, "subquestion"))
        write(proposed(parents, nodes.values()))
        told = (each for each in nodes.values() if "tally" in each)
        write(voted([each for each in told if "remembered" not in each]))
        return {"nodes": nodes, "usage": add_usage(usage, spent)}

    return subquestion


def _cut_short(parts: Parts, drawn: Drawn) -> dict[str, NodeRecord]:
    """The records of questions that a budget cut short, which nobody answers."""
    return {
        node_id: record_of(
            parts, expansion, node_id, question, action="subquestion", cut=parts.cut_of(question)
        )
        for expansion, node_id, question in drawn
        if is_cut(question)
    }


def _asked(
    parts: Parts, work: Work, expansion: Expansion, node_id: str, completion: Completion
) -> _Asked:
    trace = trace_of(work["question"], expansion["path"])
    question = step_by(completion, "subquestion")
    last = any(parts.forms.is_last(each, question.text) for each in _wordings(trace))
    settings = parts.settings
    poll = Poll(
        node_id,
        "re_answer",  # every answer to a sub-question is read as one
        parts.forms.answering(trace, question, last=last),
        _answered(question),
        Tally(settings.num_last_votes if last else settings.num_votes),
        skipped=1,  # the question itself
        final=last,
    )
    return _Asked(expansion, completion, last, poll)


def _wordings(trace: Trace) -> tuple[str, ...]:
    """The question that the thoughts of a trace answer, as asked and as rephrased."""
    return (trace.question,) if trace.rephrased is None else (trace.question, trace.rephrased.text)


def _answered(question: Step) -> Callable[[Completion], Thought]:
    def thought(completion: Completion) -> Thought:
        return Thought("subquestion", step_by(completion, "subquestion"), question)

    return thought
