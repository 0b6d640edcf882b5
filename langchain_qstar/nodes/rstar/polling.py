"""Drawing votes: several votes held at once, round by round, until all are decided.

A round is one batch of the policy. The samples of a vote are numbered, and the
seed of each is a function of the node and its number; so a vote that is decided
early has drawn the first samples of the one that would have gone on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from langchain_qstar.actions import Opening, Thought
from langchain_qstar.nodes.concluding import conclude, is_unanswered
from langchain_qstar.nodes.phase import Call, aside, sample
from langchain_qstar.nodes.preface import prefaced
from langchain_qstar.nodes.replies import checked, is_cut, used
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.nodes.rstar.voting import SHARES, SHARES_BESIDE, Tally
from langchain_qstar.protocols import Action, Completion, SampleRequest
from langchain_qstar.seeds import sample_seed
from langchain_qstar.spending.allowance import cutting
from langchain_qstar.state.channels import add_usage
from langchain_qstar.state.events import VotedEvent
from langchain_qstar.state.rstar import Work
from langchain_qstar.tree import NodeRecord


@dataclass(slots=True)
class Poll:
    """A vote on what one node says.

    Attributes:
        node_id: The id of the node.
        action: How its text is read.
        opening: What is asked.
        thought: From a sample, the thought it would be.
        tally: The votes so far.
        skipped: Samples with lower numbers that the node was drawn from before.
        final: Whether a sample ends a solution; one without an answer is asked for it.
        completions: The samples drawn.
        guessed: For each of them, whether its answer is not marked as one.
        begun: A sample that a budget cut short; it is no vote.
    """

    node_id: str
    action: Action
    opening: Opening
    thought: Callable[[Completion], Thought]
    tally: Tally
    skipped: int = 0
    final: bool = False
    completions: list[Completion] = field(default_factory=list)
    guessed: list[bool] = field(default_factory=list)
    begun: Completion | None = None

    def chosen(self, parts: Parts) -> Completion | None:
        """The first sample of the winning answer; without any, the first that is a step.

        Without any step it is one that a budget cut short.
        """
        if self.tally.winner is not None:
            return self.completions[self.tally.first]
        steps = (each for each in self.completions if parts.is_step(self.action, each))
        return next(steps, self.begun)

    def result(self, record: NodeRecord) -> NodeRecord:
        """The record with what the vote found."""
        result: NodeRecord = {
            **record,
            "confidence": self.tally.confidence,
            "votes": self.tally.drawn,
            "tally": dict(self.tally.counts),
        }
        guessed = record["answer"] is not None and self.guessed[self.tally.first]
        return {**result, "guessed": True} if guessed else result


def shares_for(parts: Parts, work: Work) -> Sequence[float]:
    """The rounds of a vote that is held beside the other actions of these expansions.

    A sub-question takes two rounds at least, so beside one a vote may go in smaller pieces.
    """
    return SHARES_BESIDE if any(parts.places(work, "subquestion")) else SHARES


def hold(
    parts: Parts, seed: int, polls: Sequence[Poll], shares: Sequence[float]
) -> Generator[Call, Any, dict[str, float]]:
    """Draw until every vote is decided, or a budget cuts one short.

    Args:
        parts: Of the action.
        seed: Of the run.
        polls: The votes; they are filled in.
        shares: See `Tally.due`; only what is due in the first round without adaptive votes.

    Returns:
        What it cost.
    """
    usage: dict[str, float] = {}
    shares = shares if parts.settings.adaptive_votes else (1.0,)
    while due := [
        (poll, request) for poll in polls if (request := _next(parts, seed, poll, shares))
    ]:
        groups = checked(
            (yield sample(parts.policy, [request for _, request in due])),
            len(due),
            parts.policy.name,
        )
        usage = add_usage(usage, used(groups))
        drawn = [(poll, _whole(poll, group)) for (poll, _), group in zip(due, groups, strict=True)]
        usage = add_usage(usage, (yield from _conclude(parts, seed, drawn)))
        yield aside(partial(_count, parts, drawn))
        if cutting() is not None:
            break
    return usage


def _whole(poll: Poll, drawn: Sequence[Completion]) -> list[Completion]:
    """The samples that no budget cut short; one that it did is put aside."""
    begun = [each for each in drawn if is_cut(each)]
    poll.begun = poll.begun or next(iter(begun), None)
    lost = cutting() is not None
    return [each for each in drawn if not (lost and each.finish == "cancelled")]


def _next(parts: Parts, seed: int, poll: Poll, shares: Sequence[float]) -> SampleRequest | None:
    due = poll.tally.due(shares)
    first = poll.skipped + poll.tally.drawn
    seeds = [sample_seed(seed, poll.node_id, first + number) for number in range(due)]
    return parts.request(poll.opening, seeds) if due else None


def _conclude(
    parts: Parts, seed: int, drawn: Sequence[tuple[Poll, list[Completion]]]
) -> Generator[Call, Any, dict[str, float]]:
    """Ask the samples that ended solutions without an answer for it, in place; what it cost."""
    due = [
        (group, number, prefaced(poll.opening.state, parts.preface))
        for poll, group in drawn
        for number, each in enumerate(group)
        if poll.final and each.finish in ("stop", "eos") and _is_unanswered(parts, poll, each)
    ]
    if not due:
        return {}
    solutions = [(state, group[number]) for group, number, state in due]
    whole, usage = yield from conclude(parts.policy, parts.task, seed, solutions)
    for (group, number, _), completion in zip(due, whole, strict=True):
        group[number] = completion
    return usage


def _is_unanswered(parts: Parts, poll: Poll, completion: Completion) -> bool:
    if not parts.is_step(poll.action, completion):
        return False
    return is_unanswered(parts.forms.statement(poll.thought(completion)), parts.task)


def _count(parts: Parts, drawn: Sequence[tuple[Poll, list[Completion]]]) -> None:
    for poll, completions in drawn:
        read = [_read(parts, poll, each) for each in completions]
        poll.completions += completions
        poll.guessed += [guessed for _, guessed in read]
        poll.tally.add([answer for answer, _ in read], parts.task.equivalent)


def _read(parts: Parts, poll: Poll, completion: Completion) -> tuple[str | None, bool]:
    """The answer that a sample states, or None, and whether it is guessed.

    A text that was cut short says only what it has said in full.
    """
    if not parts.is_step(poll.action, completion):
        return None, False
    text = parts.forms.statement(poll.thought(completion))
    if completion.finish == "length" and not parts.task.is_terminal(text):
        return None, False
    return parts.task.read(text)


def voted(records: Sequence[NodeRecord]) -> VotedEvent:
    """The event that tells the outcome of votes."""
    return {
        "type": "voted",
        "nodes": [
            {
                "id": each["id"],
                "answer": max(each["tally"], key=lambda a: each["tally"][a], default=None),
                "confidence": each["confidence"],
                "votes": each["votes"],
            }
            for each in records
        ],
    }
