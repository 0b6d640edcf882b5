"""The policy's own confidence as a scorer: no model, no cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from langchain_qstar.protocols import ScoreRequest, Scores, Step


def step_confidence(step: Step) -> float:
    """The exponential of the mean token log-probability of a step, in [0, 1].

    That is the geometric mean of its token probabilities; 0 when the policy
    gives no log-probabilities.
    """
    if not step.logprobs:
        return 0.0
    return min(1.0, math.exp(math.fsum(step.logprobs) / len(step.logprobs)))


class LogProbabilityScorer:
    """Scores a step by `step_confidence`.

    With a policy that gives no log-probabilities every value is 0, and a search
    falls back on its tie-breaking.
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
