"""Scorers made of scorers: weighted mixtures, and a memory of what was scored."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeAlias

from langchain_qstar.errors import SettingsError
from langchain_qstar.protocols import ScoreRequest, Scores, State, Step, StepScorer

_REMEMBERED: Final = 100_000
Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...], str, str]


class MixtureScorer:
    """The weighted mean of several scorers, which all read every request."""

    def __init__(self, parts: Sequence[tuple[StepScorer, float]]) -> None:
        """Mix `parts`, pairs of a scorer and its weight.

        Raises:
            SettingsError: There is none, or weights are negative or sum to 0.
        """
        weights = [weight for _, weight in parts]
        total = math.fsum(weights)
        if not parts or not total > 0 or any(not weight >= 0 for weight in weights):
            raise SettingsError("a mixture needs scorers with weights of 0 or more, not all 0")
        self._scorers = [scorer for scorer, _ in parts]
        self._weights = [weight / total for weight in weights]

    @property
    def name(self) -> str:
        """A short name for reports."""
        pairs = zip(self._weights, self._scorers, strict=True)
        return " + ".join(f"{weight:.2g} {scorer.name}" for weight, scorer in pairs)

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score all requests by every part."""
        return self._mixed([scorer.score(requests) for scorer in self._scorers])

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, all parts at once."""
        return self._mixed(
            await asyncio.gather(*(scorer.ascore(requests) for scorer in self._scorers))
        )

    def _mixed(self, by_scorer: Sequence[Sequence[Scores]]) -> list[Scores]:
        return [self._mean(each) for each in zip(*by_scorer, strict=True)]

    def _mean(self, parts: Sequence[Scores]) -> Scores:
        columns = zip(*(part.values for part in parts), strict=True)
        means = [
            math.fsum(w * v for w, v in zip(self._weights, column, strict=True))
            for column in columns
        ]
        return _scores(means, parts)


class RememberingScorer:
    """A scorer that is asked about each text once; what it said before costs nothing.

    For scorers that read or write text (reward models, judges). Two requests are the same
    when question, prompt, steps so far and step have the same text.
    """

    def __init__(self, scorer: StepScorer, capacity: int = _REMEMBERED) -> None:
        """Remember up to `capacity` values of `scorer`, the least recently used go first."""
        self._scorer = scorer
        self._capacity = capacity
        self._values: OrderedDict[Key, float] = OrderedDict()

    @property
    def name(self) -> str:
        """The name of the scorer."""
        return self._scorer.name

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score what is new, as one batch."""
        found, missing = self._split(requests)
        return self._joined(
            requests, found, missing, self._scorer.score(missing) if missing else []
        )

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, without blocking the event loop."""
        found, missing = self._split(requests)
        scores = await self._scorer.ascore(missing) if missing else []
        return self._joined(requests, found, missing, scores)

    def _split(
        self, requests: Sequence[ScoreRequest]
    ) -> tuple[dict[Key, float], list[ScoreRequest]]:
        """What is known, and requests for what is not, each text in one of them."""
        found: dict[Key, float] = {}
        missing: list[ScoreRequest] = []
        asked: set[Key] = set()
        for request in requests:
            fresh: list[Step] = []
            for step in request.steps:
                key = _key(request.state, step)
                if key in self._values:
                    self._values.move_to_end(key)
                    found[key] = self._values[key]
                elif key not in asked:
                    asked.add(key)
                    fresh.append(step)
            if fresh:
                missing.append(ScoreRequest(request.state, tuple(fresh)))
        return found, missing

    def _joined(
        self,
        requests: Sequence[ScoreRequest],
        found: dict[Key, float],
        missing: Sequence[ScoreRequest],
        scores: Sequence[Scores],
    ) -> list[Scores]:
        """Everything in the order it was asked for; each cost is told once."""
        costs: dict[State, list[Scores]] = {}
        for request, scored in zip(missing, scores, strict=True):
            costs.setdefault(request.state, []).append(scored)
            for step, value in zip(request.steps, scored.values, strict=True):
                key = _key(request.state, step)
                found[key] = self._values[key] = value
        while len(self._values) > self._capacity:
            self._values.popitem(last=False)
        return [
            _scores(
                [found[_key(request.state, step)] for step in request.steps],
                costs.pop(request.state, []),
            )
            for request in requests
        ]


def _scores(values: Sequence[float], costs: Sequence[Scores]) -> Scores:
    return Scores(
        tuple(values),
        sum(each.completions for each in costs),
        sum(each.generated_tokens for each in costs),
        sum(each.read_tokens for each in costs),
        any(each.stood_in for each in costs),
    )


def _key(state: State, step: Step) -> Key:
    return state.question, state.messages, state.text, step.text
