"""What the candidates of a search come to: the winner, the votes, and whether it is decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from langchain_qstar.actions import forms_of
from langchain_qstar.nodes.mutual.candidates import candidates_of
from langchain_qstar.protocols import Task
from langchain_qstar.settings.rstar import RStarSettings
from langchain_qstar.solution import Vote
from langchain_qstar.tree import Nodes, Stats
from langchain_qstar.verification.agreement import Agreement, Equivalent
from langchain_qstar.verification.candidates import Answer, Candidate, Judged, answers_of
from langchain_qstar.verification.deciding import decided
from langchain_qstar.verification.winning import Selection, agreed, scores, winner


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the candidates come to.

    Attributes:
        chosen: The node whose path is the solution; None when no trajectory has an answer.
        votes: The answers, heaviest first: how often each was found, and its share of the
            scores by which the winner was chosen.
        agreed: Whether the verifier agrees with the winner; None when it was not asked
            about it.
    """

    chosen: str | None = None
    votes: tuple[Vote, ...] = ()
    agreed: bool | None = None


def outcome(
    nodes: Nodes, stats: Stats, ended: Sequence[str], task: Task, settings: RStarSettings
) -> Outcome:
    """Choose the winner; a pure function of the tree, which holds no gold answer.

    An answer that a person wrote wins, the last of several; the votes remain what they are.
    A search that abstains chooses among what it would not withhold. Where there is none of
    that, the winner of all is chosen, so that it can be seen what was withheld.

    Args:
        nodes: The tree.
        stats: What is known about it, with what the verifier's completions reached.
        ended: The last node of each rollout.
        task: How candidates read and when two answers are the same.
        settings: The rules.
    """
    all_of_them = settings.model_copy(update={"abstain": False})
    answers = _answers(nodes, stats, ended, task, all_of_them)
    found = _outcome(answers, _rule(settings))
    written = [
        (nodes[each]["order"], each, answer, member)
        for answer in answers
        for member in answer.members
        for each in member.candidate.ids
        if "replaces" in nodes[each]
    ]
    if written:
        _, chosen, answer, member = max(written, key=lambda each: each[0])
        return Outcome(chosen, found.votes, _agreed(answer, member))
    if settings.abstain and (kept := _answers(nodes, stats, ended, task, settings)):
        return replace(_outcome(kept, _rule(settings)), votes=found.votes)
    return found


def outcome_of(
    candidates: Iterable[Candidate], rule: Selection, agreement: Agreement, equivalent: Equivalent
) -> Outcome:
    """What any candidates come to, by a rule for the winner and one for who survives."""
    return _outcome(answers_of(candidates, agreement, equivalent), rule)


def _outcome(answers: Sequence[Answer], rule: Selection) -> Outcome:
    if not answers:
        return Outcome()
    found = scores(rule, answers)
    answer, chosen = winner(answers, found, rule)
    return Outcome(
        chosen=chosen.candidate.id,
        votes=_votes(answers, found),
        agreed=_agreed(answer, chosen),
    )


def _agreed(answer: Answer, chosen: Judged) -> bool | None:
    """Whether the verifier agrees; None when it was not asked."""
    return agreed(answer, chosen) if chosen.completions else None


def is_decided(
    nodes: Nodes,
    stats: Stats,
    ended: Sequence[str],
    task: Task,
    settings: RStarSettings,
    *,
    left: int,
) -> bool:
    """Whether the rollouts that are left can no longer change the winner.

    Each of them is taken to add as much weight as those before it did on the mean. Early
    ones add more, for they expand more, so that is rather too much. See
    `verification.deciding.decided` for the rest of the bound.

    Args:
        nodes: The tree.
        stats: What is known about it; a candidate that the verifier has not seen leaves it
            open.
        ended: The last node of each rollout so far.
        task: As for `outcome`.
        settings: As for `outcome`.
        left: Rollouts that have not ended.
    """
    answers = _answers(nodes, stats, ended, task, settings)
    seen = all(judged.completions for each in answers for judged in each.members)
    if not ended or not seen:
        return False
    weight = sum(each.weight for each in answers)
    return decided(_rule(settings), answers, left * weight / len(ended))


def _answers(
    nodes: Nodes, stats: Stats, ended: Sequence[str], task: Task, settings: RStarSettings
) -> list[Answer]:
    """The answers that may win: under `abstain` those that would not be withheld."""
    pruned, abstain = settings.failed_check == "prune", settings.abstain
    found = candidates_of(nodes, stats, ended, forms_of(task), pruned=pruned, abstain=abstain)
    return answers_of(found, settings.agreement, task.equivalent)


def _rule(settings: RStarSettings) -> Selection:
    """How the winner is chosen; without a verification by the votes."""
    return "majority" if settings.verify == "never" else settings.selection


def _votes(answers: Sequence[Answer], found: Sequence[float]) -> tuple[Vote, ...]:
    total = sum(found)
    ordered = sorted(zip(answers, found, strict=True), key=lambda each: (-each[1], each[0].refuted))
    return tuple(
        Vote(answer=answer.text, count=answer.weight, weight=score / total)
        for answer, score in ordered
    )
