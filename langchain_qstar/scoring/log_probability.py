"""The policy's own confidence as a scorer: no model, no cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from langchain_qstar.protocols import ScoreRequest, Scores, State, Step


def step_confidence(step: Step) -> float:
    """The exponential of the mean token log-probability of a step, in [0, 1].

    That is the geometric mean of its token probabilities; 0 when the policy
    gives no log-probabilities.
    """
    return _confidence(step.logprobs)


def path_confidence(state: State, step: Step) -> float:
    """As `step_confidence`, of all the tokens from the first step to this one.

    A step without log-probabilities (a passage, what a person wrote, an end without text)
    changes nothing: its value is that of the path before it.
    """
    return _confidence([each for one in (*state.steps, step) for each in one.logprobs])


def _confidence(logprobs: Sequence[float]) -> float:
    return min(1.0, math.exp(math.fsum(logprobs) / len(logprobs))) if logprobs else 0.0


class LogProbabilityScorer:
    """Scores a step by `step_confidence`: how sure the policy was of this step alone.

    It rewards copying, announcing and repeating, of which a model is surest. With a policy
    that gives no log-probabilities every value is 0.
    """

    @property
    def name(self) -> str:
        """A short name for reports."""
        return "log-probability"

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score all requests; nothing is read or generated."""
        return [Scores(tuple(map(step_confidence, request.steps))) for request in requests]

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`."""
        return self.score(requests)


class PathLogProbabilityScorer:
    """Scores a step by `path_confidence`: how sure the policy was of all of the path to it.

    One sure step in an unsure path is worth little, so that copying and announcing gain
    little. With a policy that gives no log-probabilities every value is 0.

    Source: the length-normalised log-probability by which beam search compares texts (Wu et
    al., "Google's Neural Machine Translation System", 2016, section 7, with an exponent of 1).
    """

    @property
    def name(self) -> str:
        """A short name for reports."""
        return "path-log-probability"

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score all requests; nothing is read or generated."""
        return [
            Scores(tuple(path_confidence(request.state, step) for step in request.steps))
            for request in requests
        ]

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`."""
        return self.score(requests)
