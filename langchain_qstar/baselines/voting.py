"""How sampled solutions vote, and which of those that gave the winning answer is shown."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_qstar.baselines.sampled import Sampled
from langchain_qstar.protocols import Task
from langchain_qstar.solution import Vote


def vote(
    samples: Sequence[Sampled], task: Task, weights: Sequence[float] | None = None
) -> tuple[list[Vote], list[int]]:
    """Sum the weights of equivalent answers.

    Args:
        samples: Those without an answer do not vote.
        task: Says which answers are equivalent.
        weights: Not negative; one per sample; default 1 each.

    Returns:
        The votes, heaviest first, and the numbers of the samples that voted for the
        first, those without a failed check first. Of answers of equal weight one that a
        sample without a failed check gives comes first, then the earlier drawn.
    """
    weights = [1.0] * len(samples) if weights is None else weights
    groups: list[list[int]] = []
    for number, sample in enumerate(samples):
        if sample.answer is None:
            continue
        for group in groups:
            if task.equivalent(str(samples[group[0]].answer), sample.answer):
                group.append(number)
                break
        else:
            groups.append([number])
    total = sum(weights[number] for group in groups for number in group)

    def rank(group: Sequence[int]) -> tuple[float, bool]:
        refuted = all(samples[number].failed for number in group)
        return -sum(weights[number] for number in group), refuted

    groups.sort(key=rank)
    votes = [
        Vote(
            answer=str(samples[group[0]].answer),
            count=len(group),
            weight=sum(weights[number] for number in group) / total if total else 0.0,
        )
        for group in groups
    ]
    winners = groups[0] if groups else []
    return votes, sorted(winners, key=lambda number: samples[number].failed)


def checked_vote(samples: Sequence[Sampled], task: Task) -> tuple[list[Vote], list[int]]:
    """As `vote`, of the samples that fail no check; of all when none of those has an answer."""
    kept = [number for number, sample in enumerate(samples) if not sample.failed]
    votes, winners = vote_among(kept, samples, task)
    return (votes, winners) if votes else vote(samples, task)


def vote_among(
    numbers: Sequence[int],
    samples: Sequence[Sampled],
    task: Task,
    weights: Sequence[float] | None = None,
) -> tuple[list[Vote], list[int]]:
    """As `vote`, of the samples with these numbers only."""
    some = None if weights is None else [weights[number] for number in numbers]
    votes, winners = vote([samples[number] for number in numbers], task, some)
    return votes, [numbers[each] for each in winners]
