"""A user's plain function as a scorer."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Sequence

from langchain_qstar.errors import ModelError
from langchain_qstar.protocols import ScoreCallable, ScoreRequest, Scores


class CallableScorer:
    """Calls `(state, steps) -> list[float]` once per state and checks what it returns.

    `steps` are the candidates' texts. In async use the function runs in a
    thread, so it does not block the event loop.
    """

    def __init__(self, function: ScoreCallable, name: str | None = None) -> None:
        """Wrap `function`; its own name is the default name."""
        self._function = function
        own: str = getattr(function, "__name__", type(function).__name__)
        self._name = name or own

    @property
    def name(self) -> str:
        """A short name for reports."""
        return self._name

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score each request by one call.

        Raises:
            ModelError: The function raised, or returned anything but one
                number in [0, 1] per step.
        """
        return [self._score(request) for request in requests]

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, in a thread."""
        return await asyncio.to_thread(self.score, requests)

    def _score(self, request: ScoreRequest) -> Scores:
        texts = [step.text for step in request.steps]
        try:
            returned = self._function(request.state, texts)
        except Exception as error:
            raise ModelError(f"the scorer {self._name} failed: {error}") from error
        return Scores(self._checked(returned, len(texts)))

    def _checked(self, returned: object, count: int) -> tuple[float, ...]:
        if inspect.iscoroutine(returned):
            returned.close()
            raise ModelError(f"the scorer {self._name} is async; pass a plain function")
        try:
            values = tuple(float(value) for value in returned)  # type: ignore[attr-defined]
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(
                f"the scorer {self._name} must return a list of numbers, got {returned!r:.80}"
            ) from error
        if len(values) != count:
            raise ModelError(
                f"the scorer {self._name} returned {len(values)} values for {count} steps"
            )
        for value in values:
            if not (math.isfinite(value) and 0.0 <= value <= 1.0):
                raise ModelError(
                    f"the scorer {self._name} returned {value}; values must lie in [0, 1]"
                )
        return values
