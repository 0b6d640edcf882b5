"""The numbers a Q head sees besides hidden states: how sure the policy was.

A pure function of a state and a step, so that training and inference cannot
disagree. Log-probabilities alone separate good solutions of a problem from bad
ones well, which is why most inputs are about them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from langchain_qstar.protocols import State, Step

NUMERIC_FEATURES: Final[tuple[str, ...]] = (
    "step_mean_logprob",
    "step_min_logprob",
    "step_sum_logprob",
    "path_mean_logprob",
    "path_min_logprob",
    "least_step_mean_logprob",
    "steps",
    "step_tokens",
    "terminal",
    "step_surprises",
    "path_surprises",
    "path_sum_logprob",
    "path_tokens",
)
"""Names of the values of `step_features`, in order."""

LOGPROB_FEATURES: Final[frozenset[str]] = frozenset(
    name for name in NUMERIC_FEATURES if "logprob" in name or "surprises" in name
)
"""Those that mean something only where the policy gives log-probabilities."""

SURPRISE: Final = math.log(0.1)
"""A token whose log-probability is below this surprised the policy that drew it."""

_ANSWER_OPENING: Final = "The answer is"


def step_features(state: State, step: Step) -> list[float]:
    """The numeric features of taking `step` in `state`.

    The path is every token of the state's steps and of this step. Unknown
    log-probabilities count as 0; steps without them do not enter the path's.

    Returns:
        One float per name in `NUMERIC_FEATURES`; log-probabilities in nats, `surprises` and
        `tokens` are counts.
    """
    scored = [one.logprobs for one in (*state.steps, step) if one.logprobs]
    path = [value for logprobs in scored for value in logprobs]
    return [
        _mean(step.logprobs),
        min(step.logprobs, default=0.0),
        math.fsum(step.logprobs),
        _mean(path),
        min(path, default=0.0),
        min(map(_mean, scored), default=0.0),
        float(len(state.steps) + 1),
        float(len(step.token_ids or step.logprobs)),
        float(step.text.startswith(_ANSWER_OPENING)),
        _surprises(step.logprobs),
        _surprises(path),
        math.fsum(path),
        float(sum(len(one.token_ids or one.logprobs) for one in (*state.steps, step))),
    ]


def lacks_logprobs(step: Step) -> bool:
    """Whether a step says something, and nobody knows how likely its tokens were."""
    return bool(step.text) and not step.logprobs


def _surprises(values: Sequence[float]) -> float:
    return float(sum(value < SURPRISE for value in values))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
