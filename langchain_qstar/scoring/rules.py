"""R_P by rules: what a program can say of a step without a model.

Source: Q* (arXiv 2406.14283), section 4.1, the utility for MBPP.
"""

from __future__ import annotations

import asyncio
import io
import tokenize
from collections.abc import Callable, Sequence
from typing import Final

from langchain_qstar.errors import ModelError, SettingsError
from langchain_qstar.protocols import ScoreRequest, Scores, State

Rule = Callable[[State, str], float]
"""`(state, step) -> reward` of the step's text after the state's steps; 0 is no opinion,
below 0 a penalty."""

PENALTY: Final = -0.5
"""Reward of code that does not tokenise. The number is recalled, not printed in the paper."""


class RuleScorer:
    """A process reward that is the sum of rules; a `utility`, not a Q-value model.

    Unlike a model's, its values need not lie in [0, 1].

    Args:
        rules: Functions `(state, step) -> float`, at least one.
        name: What reports call it; by default the names of the rules.

    Raises:
        SettingsError: There is no rule.
    """

    def __init__(self, rules: Sequence[Rule], *, name: str | None = None) -> None:
        if not rules:
            raise SettingsError("a RuleScorer needs at least one rule (state, step) -> float")
        self._rules = tuple(rules)
        self._name = name or "+".join(
            getattr(rule, "__name__", type(rule).__name__) for rule in self._rules
        )

    @property
    def name(self) -> str:
        """What reports call it."""
        return self._name

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """The sum of the rules for every step.

        Raises:
            ModelError: A rule raised, or returned no number.
        """
        return [
            Scores(tuple(self._reward(request.state, step.text) for step in request.steps))
            for request in requests
        ]

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, in a thread."""
        return await asyncio.to_thread(self.score, requests)

    def _reward(self, state: State, step: str) -> float:
        try:
            return sum(float(rule(state, step)) for rule in self._rules)
        except Exception as error:
            raise ModelError(f"a rule of {self._name} failed: {error}") from error


def python_tokens(state: State, step: str) -> float:
    """`PENALTY` for code so far that Python's tokenizer refuses, else 0.

    An open bracket, an unfinished string in triple quotes or an indentation that
    fits nothing is refused, so code in the middle of a bracket is penalised until it
    closes; with the aggregator `last` g is then 0 again. Nothing is run.

    Source: Q*, section 4.1; the paper's penalty for code is 0.5.
    """
    code = state.text + step
    try:
        for _ in tokenize.generate_tokens(io.StringIO(code).readline):
            pass
    except (tokenize.TokenError, SyntaxError):
        return PENALTY
    return 0.0
