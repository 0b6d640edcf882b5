"""A scorer that reads log-probabilities, and who takes its place where there are none."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from langchain_qstar.errors import UnguidedWarning
from langchain_qstar.protocols import Policy, ScoreRequest, Scores, StepScorer, gives_logprobs
from langchain_qstar.scoring.agreement import AgreementScorer

_STOOD_IN: Final = (
    "log-probabilities: {policy} gives none; steps are ranked by the agreement of samples instead"
)


def stood_in(policy: str) -> str:
    """The line of `Usage.shortfalls` that says so of a policy, by its name."""
    return _STOOD_IN.format(policy=policy)


class StandInScorer:
    """Asks a scorer that reads log-probabilities, and `AgreementScorer` about steps without any.

    Whether there are any is decided for a batch: it has none when no step and no path has
    one. Where the policy is known to give some, none or all, nothing is decided.
    """

    def __init__(self, first: StepScorer, policy: Policy) -> None:
        """Ask `first` where the completions of `policy` have what it reads.

        Warns with `UnguidedWarning`, at once if the policy is known to give none, and else
        when it is found out.
        """
        self._first = first
        self._instead = AgreementScorer()
        self._policy = policy.name
        self._gives = gives_logprobs(policy)
        self._warned = False
        if self._gives is False:
            self._warn()

    @property
    def name(self) -> str:
        """The name of the scorer that is asked, of both where that is not known."""
        if self._gives is None:
            return f"{self._first.name}, else {self._instead.name}"
        return self._first.name if self._gives else self._instead.name

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score all requests by one of the two."""
        if self._has_logprobs(requests):
            return self._first.score(requests)
        return self._stood_in(self._instead.score(requests))

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, without blocking the event loop."""
        if self._has_logprobs(requests):
            return await self._first.ascore(requests)
        return self._stood_in(await self._instead.ascore(requests))

    def _has_logprobs(self, requests: Sequence[ScoreRequest]) -> bool:
        if self._gives is not None:
            return self._gives
        return any(step.logprobs for each in requests for step in (*each.steps, *each.state.steps))

    def _stood_in(self, scores: Sequence[Scores]) -> list[Scores]:
        self._warn()
        return [replace(each, stood_in=True) for each in scores]

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            line = f"{stood_in(self._policy)}; give a q_model to choose another scorer"
            warnings.warn(line, UnguidedWarning, stacklevel=4)
