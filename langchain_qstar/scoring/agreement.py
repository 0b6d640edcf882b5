"""How many of the samples of a place come to the same result: no log-probabilities, no cost.

Source: self-consistency (Wang et al., ICLR 2023) for single steps, our own. By which numbers
steps agree is `results.result_of`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Final, TypeAlias

from langchain_qstar.protocols import ScoreRequest, Scores
from langchain_qstar.scoring.results import result_of, results_of

Place: TypeAlias = tuple[str, tuple[Fraction, ...]]
"""A question, and the results of the steps so far."""

_SAYS_NOTHING: Final = 0.5
"""Of steps of which none finds a number, when nothing is known of the path before them."""


class AgreementScorer:
    """The mean, over the steps of a path, of the share of samples that agree with the step.

    With n samples at one place, of which m come to the same number, each of the m has m / n; one
    that finds no number has 1 / n, as one that is alone with its number, and what the path
    before it has where none beside it finds any. The value of a path of t steps is the mean of
    these, `((t - 1) * before + m / n) / t`, in [0, 1]; without `ScoreRequest.before` it is
    m / n alone.

    A place is a state. Steps of the same batch whose states found the same numbers are at the
    same place too, so that whole solutions are compared step by step.
    """

    @property
    def name(self) -> str:
        """A short name for reports."""
        return "agreement"

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score all requests; nothing is read or generated."""
        found = [_results(request) for request in requests]
        counted: defaultdict[Place, Counter[Fraction | None]] = defaultdict(Counter)
        for request, (place, results) in zip(requests, found, strict=True):
            for result, count in zip(results, request.samples, strict=True):
                counted[place][result] += count
        return [
            Scores(tuple(_value(request, counted[place], each) for each in results))
            for request, (place, results) in zip(requests, found, strict=True)
        ]

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`."""
        return self.score(requests)


def _results(request: ScoreRequest) -> tuple[Place, list[Fraction | None]]:
    """Where the steps of a request are, and what each comes to."""
    question = request.state.question
    texts = [step.text for step in request.state.steps]
    known = tuple(each for each in results_of(texts, question) if each is not None)
    return (question, known), [result_of(step.text, question, texts) for step in request.steps]


def _value(
    request: ScoreRequest, counts: Counter[Fraction | None], result: Fraction | None
) -> float:
    before, steps = request.before, len(request.state.steps)
    total = counts.total()
    if result is not None:
        own = counts[result] / total
    elif counts[None] < total:
        own = 1 / total
    else:
        own = _SAYS_NOTHING if before is None else before
    return own if before is None else (steps * before + own) / (steps + 1)
