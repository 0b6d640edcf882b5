"""Ways to value the steps of a sampled solution without a trained model, to be compared.

Every way gives a value to each step of each sample of a question: the value of the path up to
there. Samples of one question stand in for the siblings of a search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import mean
from typing import Final

from langchain_qstar.protocols import ScoreRequest, State, Step
from langchain_qstar.scoring import AgreementScorer
from langchain_qstar.scoring.log_probability import path_confidence, step_confidence
from langchain_qstar.scoring.results import results_of


@dataclass(frozen=True, slots=True)
class Tried:
    """A sampled solution with what is known about each token of its steps.

    Attributes:
        steps: With the log-probabilities of their tokens.
        answer: What it answers, None for nothing.
        right: Whether that is right.
        bare: For each step, the log-probabilities of its tokens without the question; empty
            where they were not read.
    """

    steps: tuple[Step, ...]
    answer: str | None
    right: bool
    bare: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its samples."""

    question: str
    samples: tuple[Tried, ...]


Values = list[list[float]]
"""For each sample, the value of the path up to each of its steps."""

Candidate = Callable[[Asked], Values]


def last_step(asked: Asked) -> Values:
    """Mean probability of the last step alone."""
    return [[step_confidence(step) for step in each.steps] for each in asked.samples]


def whole_path(asked: Asked) -> Values:
    """Mean probability of all tokens of the path."""
    return [
        [
            path_confidence(State("", steps=each.steps[:place]), step)
            for place, step in enumerate(each.steps)
        ]
        for each in asked.samples
    ]


def weakest_step(asked: Asked) -> Values:
    """The least of `last_step` on the path."""
    return [list(accumulate(values, min)) for values in last_step(asked)]


def mean_of_steps(asked: Asked) -> Values:
    """The mean of `last_step` on the path: a long step weighs no more than a short one."""
    return [_running_means(values) for values in last_step(asked)]


def likelihood(asked: Asked) -> Values:
    """Probability of the whole path, not normalised, to the power 1/50 to stay readable."""
    return [
        [math.exp(each / 50) for each in accumulate(math.fsum(step.logprobs) for step in one.steps)]
        for one in asked.samples
    ]


def surprises(asked: Asked) -> Values:
    """The mean of the tenth of the tokens of the path that were least expected."""
    return [
        [
            _tail([each for step in one.steps[: place + 1] for each in step.logprobs])
            for place in range(len(one.steps))
        ]
        for one in asked.samples
    ]


def beside_siblings(asked: Asked) -> Values:
    """Running mean of the share of samples at the same place whose step is no surer.

    Steps of the same number are siblings here.
    """
    sure = last_step(asked)
    ranked = [[_rank(sure, place, value) for place, value in enumerate(each)] for each in sure]
    return [_running_means(values) for values in ranked]


def without_question(asked: Asked) -> Values:
    """How much likelier the question makes the path: mean over tokens, as a probability."""
    return [
        [_logistic(_gain(one, place)) if one.bare else 0.5 for place in range(len(one.steps))]
        for one in asked.samples
    ]


def agreement(asked: Asked) -> Values:
    """`AgreementScorer` on all the samples, its values averaged over the path."""
    return [_running_means(values) for values in _agreement(asked)]


def least_agreement(asked: Asked) -> Values:
    """The same, the least of the path."""
    return [list(accumulate(values, min)) for values in _agreement(asked)]


def common_results(asked: Asked) -> Values:
    """Running mean, over the results of a path, of the share of samples that state them at all."""
    found = [
        results_of([step.text for step in each.steps], asked.question) for each in asked.samples
    ]
    said = [set(each) for each in found]
    values = []
    for results in found:
        shares: list[float] = []
        path = []
        for result in results:
            if result is not None:
                shares.append(mean(result in each for each in said))
            path.append(mean(shares) if shares else 1 / len(said))
        values.append(path)
    return values


def mixed(first: Candidate, second: Candidate) -> Candidate:
    """The mean of two."""

    def both(asked: Asked) -> Values:
        return [
            [(a + b) / 2 for a, b in zip(one, other, strict=True)]
            for one, other in zip(first(asked), second(asked), strict=True)
        ]

    return both


CANDIDATES: Final[dict[str, Candidate]] = {
    "last_step": last_step,
    "path": whole_path,
    "step_mean": mean_of_steps,
    "weakest_step": weakest_step,
    "likelihood": likelihood,
    "surprises": surprises,
    "siblings": beside_siblings,
    "question": without_question,
    "agreement": agreement,
    "least_agreement": least_agreement,
    "common": common_results,
    "path_agreement": mixed(whole_path, agreement),
    "path_common": mixed(whole_path, common_results),
}


def _running_means(values: Sequence[float]) -> list[float]:
    return [total / (n + 1) for n, total in enumerate(accumulate(values))]


def _tail(logprobs: Sequence[float]) -> float:
    worst = sorted(logprobs)[: max(1, len(logprobs) // 10)]
    return math.exp(math.fsum(worst) / len(worst)) if worst else 0.0


def _rank(sure: Values, place: int, value: float) -> float:
    others = [each[place] for each in sure if place < len(each)]
    return mean((value > other) + (value == other) / 2 for other in others)


def _gain(one: Tried, place: int) -> float:
    given = [each for step in one.steps[: place + 1] for each in step.logprobs]
    bare = [each for step in one.bare[: place + 1] for each in step]
    return (math.fsum(given) - math.fsum(bare)) / max(1, len(given))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _agreement(asked: Asked) -> Values:
    """The share at each place alone, without the path before."""
    requests, lengths = [], []
    for each in asked.samples:
        lengths.append(len(each.steps))
        for place, step in enumerate(each.steps):
            state = State(asked.question, steps=each.steps[:place])
            requests.append(ScoreRequest(state, (step,)))
    scores = iter(AgreementScorer().score(requests))
    return [[next(scores).values[0] for _ in range(length)] for length in lengths]
