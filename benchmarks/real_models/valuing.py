"""What values of steps are worth: do they rank right samples of a question before wrong ones?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any, Final

from langchain_qstar.evaluation.banks import Kept
from langchain_qstar.evaluation.grading import grade
from langchain_qstar.evaluation.intervals import difference_figures
from langchain_qstar.protocols import Task
from langchain_qstar.scoring.results import results_of
from real_models.candidates import Asked, Candidate, Tried, Values
from real_models.stepwise import answered

PLACES: Final = (50, 75, 100)
"""Percents of the steps of a sample."""


def figures(asked: Sequence[Asked], candidates: Mapping[str, Candidate]) -> dict[str, Any]:
    """Every figure of some ways to value steps; `scorers.py` says what their names mean."""
    mixed = mixed_of(asked)
    told: dict[str, Any] = {
        "questions": len(asked),
        "mixed": len(mixed),
        "samples": mean(map(_size, asked)),
        "idle_steps": mean(not kind for each in asked for kinds in _kinds(each) for kind in kinds),
        "vote": mean(map(_vote, asked)),
    }
    for name, candidate in candidates.items():
        values = {id(each): candidate(each) for each in asked}
        for place in PLACES if mixed else ():
            ranked = [auc(each, values[id(each)], place) for each in mixed]
            told |= difference_figures(f"auc_{place}_{name}", ranked, [0.0] * len(mixed))
        told[f"best_{name}"] = mean(_best(each, values[id(each)]) for each in asked)
        weighted = [_vote(each, values[id(each)]) for each in asked]
        told[f"weighted_{name}"] = mean(weighted)
        plain = [_vote(each) for each in asked]
        told |= difference_figures(f"weighted_over_vote_{name}", weighted, plain)
        pairs = [won for each in asked for won in _idle(each, values[id(each)])]
        told[f"idle_wins_{name}"] = mean(pairs) if pairs else 0.5
    return told


def tried(kept: Kept, gold: str, task: Task) -> Tried:
    """A sample of a bank as its steps, with what it answers and whether that is right."""
    answer = answered(kept, task)
    return Tried(kept.steps, answer, answer is not None and grade(answer, gold, task) == "right")


def mixed_of(asked: Sequence[Asked]) -> list[Asked]:
    """The questions with right and wrong samples, of which alone there is an AUC."""
    return [each for each in asked if 0 < sum(one.right for one in each.samples) < _size(each)]


def _size(asked: Asked) -> int:
    return len(asked.samples)


def auc(asked: Asked, values: Values, percent: int) -> float:
    """How often, after so much of its steps, a right sample has a higher value than a wrong one."""
    at = [each[max(1, round(percent / 100 * len(each))) - 1] for each in values]
    right = [v for v, one in zip(at, asked.samples, strict=True) if one.right]
    wrong = [v for v, one in zip(at, asked.samples, strict=True) if not one.right]
    return mean((a > b) + (a == b) / 2 for a in right for b in wrong)


def _best(asked: Asked, values: Values) -> float:
    answered = [n for n, one in enumerate(asked.samples) if one.answer is not None]
    best = max(answered, key=lambda n: (values[n][-1], -n), default=None)
    return float(best is not None and asked.samples[best].right)


def _vote(asked: Asked, values: Values | None = None) -> float:
    """Whether the vote is right; of answers as written, which canonical ones may be."""
    weights: defaultdict[str, float] = defaultdict(float)
    right: dict[str, bool] = {}
    for number, one in enumerate(asked.samples):
        if one.answer is not None:
            weights[one.answer] += 1.0 if values is None else values[number][-1]
            right[one.answer] = one.right
    return float(right[max(weights, key=lambda each: weights[each])]) if weights else 0.0


def _kinds(asked: Asked) -> list[list[bool]]:
    """Of each step of each sample: whether it finds a number."""
    return [
        [
            found is not None
            for found in results_of([step.text for step in one.steps], asked.question)
        ]
        for one in asked.samples
    ]


def _idle(asked: Asked, values: Values) -> Iterator[float]:
    kinds = _kinds(asked)
    for place in range(max(map(len, values), default=0)):
        here = [n for n in range(len(values)) if place < len(values[n])]
        idle = [values[n][place] for n in here if not kinds[n][place]]
        busy = [values[n][place] for n in here if kinds[n][place]]
        yield from ((a > b) + (a == b) / 2 for a in idle for b in busy)
