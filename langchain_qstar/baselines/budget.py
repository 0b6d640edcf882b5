"""What a baseline may spend on a question: the budgets of searches that mean something to it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from langchain_qstar.errors import SettingsError
from langchain_qstar.nodes.budgets import spent_budget
from langchain_qstar.solution import Stopped, Usage
from langchain_qstar.spending.allowance import Allowance, allowance_of


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one question; None is no limit.

    None is exceeded: a local model ends what it writes, between two tokens, when the time is
    over, and a request to a server is cancelled then. What was drawn until then is what there
    is.

    Attributes:
        max_tokens: Most tokens that all models generate, at least 1.
        max_completions: Most completions drawn from all models, at least 1. A question
            for the answer of a solution that ended without one is a completion.
        max_seconds: Most seconds, above 0.

    Raises:
        SettingsError: A limit is out of range.
    """

    max_tokens: int | None = None
    max_completions: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        """Check the limits."""
        for name in ("max_tokens", "max_completions"):
            most = getattr(self, name)
            if most is not None and (type(most) is not int or most < 1):
                raise SettingsError(f"{name} is {most!r}; it must be a whole number from 1 up")
        most = self.max_seconds
        number = isinstance(most, (int, float)) and not isinstance(most, bool)
        if most is not None and not (number and 0 < most < math.inf):
            raise SettingsError(f"max_seconds is {most!r}; it must be a number above 0")

    def allowance(self) -> Allowance | None:
        """What the calls of a question that begins now may spend."""
        return allowance_of(asdict(self), {})

    def spent(self, usage: Usage, seconds: float) -> Stopped | None:
        """Which limit is reached, None when none is."""
        counts = {
            "completion_tokens": usage.completion_tokens,
            "completions": usage.completions,
            "seconds": seconds,
        }
        return spent_budget(counts, asdict(self))

    def share(self, usage: Usage, wanted: int, limit: int) -> tuple[int, int]:
        """How many completions may be drawn together, and how long each may get.

        Args:
            usage: What was spent; it leaves something.
            wanted: Completions wanted, at least 1.
            limit: Tokens that each is to have room for.

        Returns:
            As many as have that room, and one at least, which has what is left.
        """
        if self.max_completions is not None:
            wanted = min(wanted, self.max_completions - usage.completions)
        if self.max_tokens is None:
            return wanted, limit
        left = self.max_tokens - usage.completion_tokens
        return max(1, min(wanted, left // limit)), min(limit, left)
