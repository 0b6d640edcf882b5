"""What votes, checks and log-probabilities would have answered, replayed from a bank.

Figures at k are means over the disjoint groups of k samples of a question, in the order of
their seeds, so that small k waste no samples; `pass` is the unbiased estimate over all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import comb, inf
from statistics import mean
from typing import Final

from langchain_qstar.evaluation.banks import Asked, Bank, Kept
from langchain_qstar.evaluation.grading import grade
from langchain_qstar.evaluation.intervals import difference_figures, share_figures
from langchain_qstar.protocols import Task
from langchain_qstar.solution import Sample

BANDS: Final = (0.25, 0.5, 0.75)
"""Where shares are parted: of right samples for difficulty, of votes for margins."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sample as votes see it.

    Attributes:
        answer: The number of its answer among the distinct ones of its question; None
            without an answer.
        right: Whether that is the gold answer.
        kept: The sample.
    """

    answer: int | None
    right: bool
    kept: Kept

    @property
    def sample(self) -> Sample:
        """What was drawn."""
        return self.kept.sample


def drawn(asked: Asked, task: Task) -> list[Drawn]:
    """The samples of a question, with equal answers numbered alike."""
    known: list[tuple[str, bool]] = []
    found = []
    for kept in asked.samples:
        said = kept.sample.answer
        if said is None:
            found.append(Drawn(None, right=False, kept=kept))
            continue
        same = (n for n, (other, _) in enumerate(known) if task.equivalent(other, said))
        number = next(same, len(known))
        if number == len(known):
            known.append((said, grade(said, asked.gold, task) == "right"))
        found.append(Drawn(number, right=known[number][1], kept=kept))
    return found


Rule = Callable[[Sequence[Drawn]], Drawn | None]
"""From some samples of a question to one that has the answer that is chosen, if any."""


def vote(samples: Sequence[Drawn]) -> Drawn | None:
    """The commonest answer, as the product votes.

    Among equals it is one that a sample without a failed check gives, then the first drawn.
    """
    counts = Counter(each.answer for each in samples if each.answer is not None)
    held = {each.answer for each in samples if not each.sample.failed}
    chosen = max(counts, key=lambda answer: (counts[answer], answer in held), default=None)
    return next((each for each in samples if each.answer == chosen), None) if counts else None


def checked_vote(samples: Sequence[Drawn]) -> Drawn | None:
    """The vote of those without a failed check; of all when nothing else has an answer."""
    return vote([each for each in samples if not each.sample.failed]) or vote(samples)


def likeliest(samples: Sequence[Drawn]) -> Drawn | None:
    """Best-of-N by the log-probability of the whole text."""
    return _best(samples, _logprob)


def surest(samples: Sequence[Drawn]) -> Drawn | None:
    """Best-of-N by the mean log-probability of a token."""
    return _best(samples, lambda each: _logprob(each) / max(1, each.sample.completion_tokens))


def _logprob(each: Drawn) -> float:
    return -inf if each.sample.logprob is None else each.sample.logprob


def _best(samples: Sequence[Drawn], score: Callable[[Drawn], float]) -> Drawn | None:
    answered = [each for each in samples if each.answer is not None]
    return max(answered, key=score, default=None)


RULES: Final[dict[str, Rule]] = {
    "vote": vote,
    "checked_vote": checked_vote,
    "best_logprob": likeliest,
    "best_mean_logprob": surest,
}


def shares(questions: Sequence[Sequence[Drawn]], rule: Rule, k: int) -> list[float]:
    """How often a rule over k samples is right, for each question."""
    return [mean(_is_right(rule(group)) for group in _groups(each, k)) for each in questions]


def _groups(samples: Sequence[Drawn], k: int) -> list[Sequence[Drawn]]:
    return [samples[start : start + k] for start in range(0, len(samples) - k + 1, k)]


def _is_right(chosen: Drawn | None) -> float:
    return float(chosen is not None and chosen.right)


def pass_at(samples: Sequence[Drawn], k: int) -> float:
    """The chance that one of k samples is right (Chen et al. 2021, equation 1)."""
    n, right = len(samples), sum(each.right for each in samples)
    return 1 - comb(n - right, k) / comb(n, k)


def headroom(questions: Sequence[Sequence[Drawn]], size: int) -> dict[str, float]:
    """What there is to gain over the vote: see `benchmarks/pool.py` for the names."""
    figures: dict[str, float] = {}
    sizes = [k for k in (1, 2, 4, 8, 16, 32) if k < size] + [size]
    for k in sizes:
        figures |= share_figures(f"pass_{k}", [pass_at(each[:size], k) for each in questions])
    for name in ("vote", "checked_vote"):
        for k in sizes[1:] or sizes:
            figures |= share_figures(f"{name}_{k}", shares(questions, RULES[name], k))
    found = [_lead(each) for each in questions if any(one.right for one in each)]
    figures["wrong_beats_right"] = _share(lead < 0 for lead in found)
    figures["wrong_ties_right"] = _share(lead == 0 for lead in found)
    return figures


def _lead(samples: Sequence[Drawn]) -> int:
    """Votes of the right answer over those of the commonest wrong one."""
    right = sum(each.right for each in samples)
    wrong = Counter(each.answer for each in samples if each.answer is not None and not each.right)
    return right - max(wrong.values(), default=0)


def selections(questions: Sequence[Sequence[Drawn]], size: int) -> dict[str, float]:
    """Best-of-N by log-probability, and every rule minus the vote on the same questions."""
    figures: dict[str, float] = {}
    votes = shares(questions, vote, size)
    for name in ("best_logprob", "best_mean_logprob"):
        figures |= share_figures(f"{name}_{size}", shares(questions, RULES[name], size))
    for name in ("checked_vote", "best_logprob", "best_mean_logprob"):
        own = shares(questions, RULES[name], size)
        figures |= difference_figures(f"{name}_over_vote", own, votes)
    return figures


def confidence(questions: Sequence[Sequence[Drawn]], size: int) -> dict[str, float]:
    """What the share and the margin of the vote say about whether it is right."""
    rows = [_confidence(each[:size]) for each in questions]
    said, margins, right = ([row[part] for row in rows] for part in range(3))
    figures = {
        "confidence": mean(said),
        "confidence_brier": mean((p - r) ** 2 for p, r in zip(said, right, strict=True)),
        "confidence_auc": _auc(said, right),
        "margin_auc": _auc(margins, right),
    }
    for name, low, high in _bands():
        inside = [
            r for m, r in zip(margins, right, strict=True) if low <= m < high or m == high == 1
        ]
        figures[f"questions_margin_{name}"] = len(inside)
        figures |= share_figures(f"vote_margin_{name}", inside) if inside else {}
    return figures


def _confidence(samples: Sequence[Drawn]) -> tuple[float, float, float]:
    """The winner's share of the samples, its margin over the next, and whether it is right."""
    counts = Counter(each.answer for each in samples if each.answer is not None).most_common(2)
    first, second = [*(count for _, count in counts), 0, 0][:2]
    return first / len(samples), (first - second) / len(samples), _is_right(vote(samples))


def _auc(scores: Sequence[float], right: Sequence[float]) -> float:
    """The chance that a right one has the higher score than a wrong one; 0.5 without a pair."""
    pairs = [
        (a > b) + (a == b) / 2
        for a, good in zip(scores, right, strict=True)
        for b, other in zip(scores, right, strict=True)
        if good and not other
    ]
    return mean(pairs) if pairs else 0.5


def difficulty(questions: Sequence[Sequence[Drawn]]) -> dict[str, float]:
    """How many questions have which share of right samples: none, all, or in between."""
    right = [mean(float(one.right) for one in each) for each in questions]
    figures = {"solved_never": _share(r == 0 for r in right)}
    for name, low, high in _bands():
        figures[f"solved_{name}"] = _share(low <= r < high and r > 0 for r in right)
    return {**figures, "solved_always": _share(r == 1 for r in right)}


def samples_told(questions: Sequence[Sequence[Drawn]]) -> dict[str, float]:
    """What the samples are like by themselves."""
    every = [one for each in questions for one in each]
    ended = [one for one in every if one.sample.finish in ("stop", "eos")]
    answered = [one for one in every if one.answer is not None]
    failed = [one for one in answered if one.sample.failed]
    return {
        "tokens": mean(one.kept.tokens for one in every),
        "cut": _share(one.sample.finish == "length" for one in every),
        "unparsed_samples": _share(_stated_none(one) for one in ended),
        "unparsed_asked": _share(one.answer is None for one in ended),
        "guessed": _share(one.sample.guessed for one in answered),
        "failed": _share(one.sample.failed for one in answered),
        "right_failed": _share(one.right for one in failed),
        "right_unfailed": _share(one.right for one in answered if not one.sample.failed),
    }


def _stated_none(one: Drawn) -> bool:
    """Whether it was ended without an answer, whatever it said when it was asked for one."""
    return one.answer is None or one.kept.line is not None


def replayed(bank: Bank, task: Task) -> dict[str, float]:
    """Every figure of a bank, the headroom first."""
    size = bank.size
    questions = [drawn(each, task)[:size] for each in bank.questions]
    return {
        "questions": len(questions),
        "samples": size,
        **headroom(questions, size),
        **selections(questions, size),
        **confidence(questions, size),
        **difficulty(questions),
        **samples_told(questions),
    }


def _bands() -> list[tuple[str, float, float]]:
    """The bands of shares below 1, by their name: `00_25` is from 0 to below 25 %."""
    edges = [0.0, *BANDS, 1.0]
    return [(f"{100 * low:02.0f}_{100 * high:.0f}", low, high) for low, high in pairwise(edges)]


def _share(values: Iterable[bool]) -> float:
    """How many are true; 0 of none."""
    known = list(values)
    return sum(known) / len(known) if known else 0.0
