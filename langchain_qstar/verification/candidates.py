"""The candidates of a search: its distinct solutions, each with its weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from langchain_qstar.verification.agreement import Agreement, Equivalent, matches, survives

LONGEST_ANSWER: Final = 100
"""Characters of the longest answer that is one; a longer one is a text that was not parsed.

Source: the official code."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A solution that a search found, or several of the same text.

    Attributes:
        ids: The nodes in which it ends, in order of insertion.
        segments: The solution as running text, a piece a step.
        answer: Its answer.
        weight: How often it was found: once for being in the tree, once for every
            rollout that ended in it.
        reward: What the rollouts that ended in it earned, together; 0 without any.
        confidence: The share of the votes that say what it says, in [0, 1].
        completed: What the verifier's completions of it reached; None when it was not
            asked.
        belief: How likely a judge finds it right, in [0, 1]; None when it was not asked.
        refuted: Whether a check failed a step of it.
    """

    ids: tuple[str, ...]
    segments: tuple[str, ...]
    answer: str
    weight: int = 1
    reward: float = 0.0
    confidence: float = 0.0
    completed: tuple[str | None, ...] | None = None
    belief: float | None = None
    refuted: bool = False

    @property
    def id(self) -> str:
        """The first of its nodes, by which it is known."""
        return self.ids[0]


def is_candidate(answer: str | None) -> bool:
    """Whether a solution with this answer can win at all, and is worth a verifier's time."""
    return answer is not None and len(answer) <= LONGEST_ANSWER


def merged(found: Iterable[Candidate]) -> list[Candidate]:
    """The distinct ones, in order: those of the same text are one, with the weight of all.

    A solution that is in the tree and that j rollouts ended in weighs 1 + j.

    Source: the official code.
    """
    texts: dict[str, list[Candidate]] = {}
    for each in found:
        texts.setdefault("".join(each.segments), []).append(each)
    return [_one(same) for same in texts.values()]


def _one(same: Sequence[Candidate]) -> Candidate:
    first = same[0]
    return Candidate(
        ids=tuple(node_id for each in same for node_id in each.ids),
        segments=first.segments,
        answer=first.answer,
        weight=sum(each.weight for each in same),
        reward=sum(each.reward for each in same),
        confidence=max(each.confidence for each in same),
        completed=next((each.completed for each in same if each.completed is not None), None),
        belief=next((each.belief for each in same if each.belief is not None), None),
        refuted=all(each.refuted for each in same),
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate, and what its completions say of it."""

    candidate: Candidate
    agreeing: int
    """Completions that reached its answer."""
    completions: int
    survived: bool


def judged(candidate: Candidate, rule: Agreement, equivalent: Equivalent) -> Judged:
    """What its completions say of a candidate; without any it does not survive."""
    completed = candidate.completed or ()
    return Judged(
        candidate,
        agreeing=sum(matches(candidate.answer, completed, equivalent)),
        completions=len(completed),
        survived=survives(rule, candidate.answer, completed, equivalent),
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """The candidates with the same answer, in order; never empty."""

    members: tuple[Judged, ...]

    @property
    def text(self) -> str:
        """The answer, as its first candidate states it."""
        return self.members[0].candidate.answer

    @property
    def refuted(self) -> bool:
        """Whether a check failed a step of every candidate."""
        return all(each.candidate.refuted for each in self.members)

    @property
    def weight(self) -> int:
        """How often it was found."""
        return sum(each.candidate.weight for each in self.members)

    @property
    def surviving(self) -> int:
        """How much of the weight survived."""
        return sum(each.candidate.weight for each in self.members if each.survived)

    @property
    def agreeing(self) -> int:
        """Completions of its candidates that reached it."""
        return sum(each.agreeing for each in self.members)

    @property
    def completions(self) -> int:
        """Completions of its candidates."""
        return sum(each.completions for each in self.members)


def answers_of(
    candidates: Iterable[Candidate], rule: Agreement, equivalent: Equivalent
) -> list[Answer]:
    """The candidates by their answers, in the order in which those were first found.

    Equivalence need not be transitive: a candidate joins the first answer that is its own.
    """
    groups: list[list[Judged]] = []
    for each in (judged(candidate, rule, equivalent) for candidate in candidates):
        for group in groups:
            if equivalent(group[0].candidate.answer, each.candidate.answer):
                group.append(each)
                break
        else:
            groups.append([each])
    return [Answer(tuple(group)) for group in groups]
