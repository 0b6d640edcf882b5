"""The policy asked about its own step: how likely it says Yes rather than No.

Source: Kadavath et al., "Language Models (Mostly) Know What They Know", 2022, section 4.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import cache
from typing import Final

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.prompting import Prompt, load_prompt
from langchain_qstar.protocols import Policy, ScoreRequest, Scores, State, Step
from langchain_qstar.scoring.identity import ReadingPolicy

_ANSWERS: Final = (Step("Yes"), Step("No"))


@cache
def _prompt() -> Prompt:
    return load_prompt("self_evaluation", {"question", "steps"})


class SelfEvaluationScorer:
    """P(Yes) / (P(Yes) + P(No)) as the answer to `prompts/self_evaluation.txt`.

    It generates nothing and reads the prompt for every step. Small models were seen to
    be poor judges of themselves; measure before use.
    """

    def __init__(self, policy: Policy) -> None:
        """Ask `policy`, a local model.

        Raises:
            ModelSpecError: The policy gives no log-probabilities of given text.
        """
        if not isinstance(policy, ReadingPolicy):
            raise ModelSpecError(
                f"{policy.name} gives no log-probabilities of a given text; "
                "self-evaluation needs a local model"
            )
        self._policy: ReadingPolicy = policy

    @property
    def name(self) -> str:
        """A short name for reports."""
        return "self-evaluation"

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score all candidates of all requests as one batch.

        Raises:
            ModelError: The policy failed.
        """
        asked = [_asked(r.state, step) for r in requests for step in r.steps]
        states = [state for state in asked for _ in _ANSWERS]
        logprobs = [
            math.fsum(v) for v in self._policy.token_logprobs(states, _ANSWERS * len(asked))
        ]
        values = (_share(*logprobs[n : n + 2]) for n in range(0, len(logprobs), 2))
        lengths = (len(self._policy.path_ids(state)) for state in asked)
        rest = iter(zip(values, lengths, strict=True))
        scores = []
        for request in requests:
            own = [next(rest) for _ in request.steps]
            tokens = sum(length for _, length in own)
            scores.append(Scores(tuple(value for value, _ in own), read_tokens=tokens))
        return scores

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, in a thread."""
        return await asyncio.to_thread(self.score, requests)


def _asked(state: State, step: Step) -> State:
    text = _prompt().fill(question=state.question, steps=state.then(step).text.strip())
    return State(state.question, (("user", text),))


def _share(yes: float, no: float) -> float:
    return 1 / (1 + math.exp(max(-500.0, min(500.0, no - yes))))
