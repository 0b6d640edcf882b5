"""A second language model as the judge of steps: a process reward model that speaks.

Such a model was trained to say after every step whether it is good, in one
token (Math-Shepherd, Wang et al., ACL 2024, section 3.4, says `+` or `-` at the
mark `ки`); any chat model can be asked so. The value of a step is

    P(good) / (P(good) + P(bad))

for the token after its mark. The judge has an engine of its own: of all
candidates of a search only what is new is read, as one batch, and prefixes
stay in its cache.

It does not load value models whose head is code of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.protocols import ScoreRequest, Scores, State, Step

Verdict = tuple[tuple[float, ...], int]
"""Log-probabilities of the words asked for, and how many tokens were read for them."""


@runtime_checkable
class NextWords(Protocol):
    """A model that says how probable some words are next (any local model does)."""

    @property
    def name(self) -> str:
        """A short name for reports."""
        ...

    def next_logprobs(self, states: Sequence[State], words: Sequence[str]) -> list[Verdict]:
        """For each state the log-probabilities of `words`, each one token, to come next."""
        ...

    async def anext_logprobs(self, states: Sequence[State], words: Sequence[str]) -> list[Verdict]:
        """As `next_logprobs`, without blocking the event loop."""
        ...


class ValueModelScorer:
    """A `StepScorer` that reads the verdict of a local model."""

    def __init__(
        self,
        judge: Any,
        *,
        good: str = "+",
        bad: str = "-",
        mark: str = " ки",
        marks_all: bool = True,
    ) -> None:
        """Judge with a model of its own.

        Args:
            judge: The model, a `TransformersPolicy` or anything with `NextWords`.
            good: The token by which it says that a step is good.
            bad: The token by which it says that it is not.
            mark: Text after a step, after which it says so.
            marks_all: Whether earlier steps carry the mark as well, as process
                reward models are trained; a chat model is asked once, at the end.

        Raises:
            ModelSpecError: `good` and `bad` are the same, or the judge cannot say
                how probable they are.
        """
        if not isinstance(judge, NextWords):
            raise ModelSpecError(
                f"a judge must be a local model; {type(judge).__name__} does not say "
                "how probable its next words are"
            )
        if good == bad:
            raise ModelSpecError(f"good and bad are both {good!r}; a verdict needs two words")
        self._judge = judge
        self._words = (good, bad)
        self._mark = mark
        self._marks_all = marks_all

    @property
    def name(self) -> str:
        """A short name for reports."""
        return self._judge.name

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score all candidates of all requests as one batch; nothing is generated.

        Raises:
            ModelSpecError: A word is not one token for this model.
            ModelError: The model failed.
        """
        found = self._judge.next_logprobs(self._states(requests), self._words)
        return _scores(requests, found)

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, without blocking the event loop."""
        found = await self._judge.anext_logprobs(self._states(requests), self._words)
        return _scores(requests, found)

    def _states(self, requests: Sequence[ScoreRequest]) -> list[State]:
        return [self._marked(request.state, step) for request in requests for step in request.steps]

    def _marked(self, state: State, step: Step) -> State:
        """The state after `step` as the judge reads it: foreign text, a line a step.

        Each part is tokenised alone, so what was read of a candidate is the
        beginning of what is read of its successors.
        """
        texts: list[str] = []
        for each in state.steps:
            texts += [each.text.strip(), self._mark if self._marks_all else "", "\n"]
        texts += [step.text.strip(), self._mark]
        return State(state.question, state.messages, tuple(map(Step, texts)))


def _scores(requests: Sequence[ScoreRequest], found: Sequence[Verdict]) -> list[Scores]:
    verdicts = iter(found)
    scores = []
    for request in requests:
        own = [next(verdicts) for _ in request.steps]
        values = tuple(1.0 / (1.0 + math.exp(min(bad - good, 700.0))) for (good, bad), _ in own)
        scores.append(Scores(values, read_tokens=sum(read for _, read in own)))
    return scores
