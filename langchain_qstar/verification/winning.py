"""Which answer wins: one function a rule, and what falls back on what.

Every rule gives each answer a score, and the largest wins; among equals the first found of
which no check failed a step, else the first found. A rule that scores survivors falls back
on the majority when none survived.

Source: rStar (arXiv 2408.06195), section 3.3, and its official code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, isinf
from typing import Final, Literal

from langchain_qstar.verification.candidates import Answer, Judged

Selection = Literal[
    "reward_confidence",
    "share_survival",
    "survivor_vote",
    "shrunk_survival",
    "self_verification",
    "majority",
]

LEAST_SHRINKAGE: Final = 8.0
"""Completions that the common rate counts for at least, two candidates' at four masks."""


def scores(rule: Selection, answers: Sequence[Answer]) -> list[float]:
    """The score of each answer under a rule; larger is better.

    When the rule gives none, a lone survivor wins, or the most of the survivors; when
    nothing survived, the generator's majority decides.

    Source: the paper and the official code, by rule; docs/papers.md.
    """
    match rule:
        case "reward_confidence":
            found = reward_confidence(answers)
        case "share_survival":
            found = share_survival(answers)
        case "survivor_vote":
            found = survivor_vote(answers)
        case "shrunk_survival":
            found = shrunk_survival(answers)
        case "self_verification":
            found = self_verification(answers)
        case "majority":
            found = majority(answers)
    for fallback in (found, survivor_vote(answers)):
        if any(each > 0 for each in fallback):
            return fallback
    return majority(answers)


def majority(answers: Sequence[Answer]) -> list[float]:
    """How often each answer was found: the paper's generator@maj."""
    return [float(each.weight) for each in answers]


def reward_confidence(answers: Sequence[Answer]) -> list[float]:
    """The best surviving trajectory's reward times the confidence of its last node.

    The reward is the Q that rollouts backed up to that node, so a solution that no rollout
    ended in has none.

    Source: rStar, section 3.3.
    """
    return [max(map(rewarded, each.members)) for each in answers]


def rewarded(judged: Judged) -> float:
    """Reward times confidence of a survivor; 0 for any other candidate."""
    return judged.survived * judged.candidate.reward * judged.candidate.confidence


def share_survival(answers: Sequence[Answer]) -> list[float]:
    """An answer's share of what survived, plus the share of it that survived.

    Its rewards are all 1, as the official code makes them. An answer that was found once
    and survived has the second share whole: with a weak verifier this rule falls far below
    the majority.

    Source: the official code.
    """
    total = sum(each.surviving for each in answers)
    return [
        each.surviving / total + each.surviving / each.weight if each.surviving else 0.0
        for each in answers
    ]


def survivor_vote(answers: Sequence[Answer]) -> list[float]:
    """How often the survivors with each answer were found."""
    return [float(each.surviving) for each in answers]


def shrunk_survival(answers: Sequence[Answer]) -> list[float]:
    """Votes times the odds of agreement, those shrunk towards what all answers have.

    `rate(a) = (agreeing(a) + k * rate) / (completions(a) + k)` and
    `score(a) = weight(a) * rate(a) / (1 - rate(a))`, where `rate` is the share of all
    completions that agree with their candidates and k is `shrinkage`. Odds, because what
    is right beside many votes for what is wrong must outweigh them. No candidate is
    dropped: completions weigh the votes. When all or none agree, the votes decide.

    Source: ours; it replaces a rule that trusts one lucky candidate (`share_survival`).
    """
    agreeing, completions = sum(a.agreeing for a in answers), sum(a.completions for a in answers)
    if agreeing in (0, completions):
        return majority(answers)
    rate, k = agreeing / completions, shrinkage(answers)
    return [each.weight * _odds(_shrunk(each, rate, k)) for each in answers]


def shrinkage(answers: Sequence[Answer]) -> float:
    """How many completions the common rate counts for, learnt from the completions.

    From the analysis-of-variance estimate r of how alike the completions of one answer
    are, k = (1 - r) / r. A verifier that knows nothing agrees with all answers alike but
    for chance: r is about 0, k large, and the votes decide. One that knows agrees with some
    and not with others, and k is small, but not below `LEAST_SHRINKAGE`.

    Source: Ridout, Demétrio and Firth, "Estimating intraclass correlation for binary
    data", Biometrics 55, 1999, the ANOVA estimator.
    """
    asked = [each for each in answers if each.completions]
    total, groups = sum(each.completions for each in asked), len(asked)
    if groups < 2 or total == groups:
        return inf
    rate = sum(each.agreeing for each in asked) / total
    between = sum(
        each.completions * (each.agreeing / each.completions - rate) ** 2 for each in asked
    ) / (groups - 1)
    within = sum(
        each.agreeing * (each.completions - each.agreeing) / each.completions for each in asked
    ) / (total - groups)
    size = (total - sum(each.completions**2 for each in asked) / total) / (groups - 1)
    if between <= within:
        return inf
    alike = (between - within) / (between + (size - 1) * within)
    return max((1 - alike) / alike, LEAST_SHRINKAGE)


def _shrunk(answer: Answer, rate: float, k: float) -> float:
    if isinf(k):
        return rate
    return (answer.agreeing + k * rate) / (answer.completions + k)


def _odds(rate: float) -> float:
    return rate / (1 - rate)


def self_verification(answers: Sequence[Answer]) -> list[float]:
    """How likely a judge finds the best trajectory of each answer right.

    Source: rStar, table 5, where the generator judges itself.
    """
    return [max(map(believed, answer.members)) for answer in answers]


def winner(
    answers: Sequence[Answer], found: Sequence[float], rule: Selection
) -> tuple[Answer, Judged]:
    """The winning candidate and its answer, by the `scores` of the rule.

    Of the winning answer it is the trajectory that the rule scored, if it scores
    trajectories; else the first survivor; else the first. Among equals one that no check
    failed comes first.
    """
    best = answers[leading(answers, found)]
    rank: Callable[[Judged], float]
    match rule:
        case "reward_confidence":
            rank = rewarded
        case "self_verification":
            rank = believed
        case _:
            rank = _alike
    chosen = max(
        best.members,
        key=lambda each: (rank(each), each.survived, not each.candidate.refuted),
    )
    return best, chosen


def leading(answers: Sequence[Answer], found: Sequence[float]) -> int:
    """The place of the answer with the highest score, among equals of one that is not refuted."""
    return max(range(len(answers)), key=lambda each: (found[each], not answers[each].refuted))


def believed(judged: Judged) -> float:
    """How likely a judge finds a candidate right; 0 when it was not asked."""
    return judged.candidate.belief or 0.0


def _alike(_: Judged) -> float:
    return 0.0


def agreed(answer: Answer, chosen: Judged) -> bool:
    """Whether the verifier agrees with a winner.

    It survived, and of all completions of candidates with its answer half or more reached
    it: among many candidates with a wrong answer some survive by luck.
    """
    return chosen.survived and 2 * answer.agreeing >= answer.completions


def unanimous(answers: Sequence[Answer]) -> bool:
    """Whether all candidates have one answer, so that no verifier can change it.

    Source: the official code.
    """
    return len(answers) == 1
