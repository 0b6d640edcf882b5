"""Whether the rest of a search can still change which answer wins."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_qstar.verification.candidates import Answer
from langchain_qstar.verification.winning import (
    Selection,
    leading,
    majority,
    scores,
    survivor_vote,
)


def decided(rule: Selection, answers: Sequence[Answer], remaining: float) -> bool:
    """Whether the answer that leads still wins after any further candidates.

    The bound: all the `remaining` weight goes to one rival, or to an answer not yet found,
    survives, and completions agree with it as well as with the best answer so far. For
    `majority` and `survivor_vote` nothing worse can happen. For `share_survival` and
    `shrunk_survival` a later candidate could agree better than any before it, or the
    leader's next ones worse: the bound is as good as the completions so far. A rule that
    looks for the single best trajectory is never decided before the end.

    Args:
        rule: How the winner is chosen.
        answers: The candidates so far, all of which the verifier was asked about.
        remaining: The weight that the rest of the search can add.

    Returns:
        True when the leader cannot be overtaken within the bound.
    """
    if not answers:
        return False
    found = scores(rule, answers)
    leader = leading(answers, found)
    rivals = [number for number in range(len(answers)) if number != leader]
    match rule:
        case "majority":
            return _leads(majority(answers), leader, rivals, remaining)
        case "survivor_vote":
            return _leads(survivor_vote(answers), leader, rivals, remaining)
        case "shrunk_survival":
            factors = [score / each.weight for score, each in zip(found, answers, strict=True)]
            most = max(
                ((answers[each].weight for each in rivals)),
                default=0,
            )
            return found[leader] > (most + remaining) * max(factors)
        case "share_survival":
            return _shares_lead(answers, leader, rivals, remaining)
        case _:
            return remaining <= 0


def _leads(votes: Sequence[float], leader: int, rivals: Sequence[int], remaining: float) -> bool:
    return votes[leader] > max((votes[each] for each in rivals), default=0.0) + remaining


def _shares_lead(
    answers: Sequence[Answer], leader: int, rivals: Sequence[int], remaining: float
) -> bool:
    survived = sum(each.surviving for each in answers)
    if not survived:
        return remaining <= 0
    rates = [each.surviving / each.weight for each in answers]
    most = max((answers[each].surviving for each in rivals), default=0)
    least = answers[leader].surviving / (survived + remaining) + rates[leader]
    return least > (most + remaining) / (survived + remaining) + max(rates)
