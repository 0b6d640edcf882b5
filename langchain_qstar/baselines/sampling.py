"""How the tokens of a baseline's samples are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

from langchain_qstar.errors import SettingsError


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """Temperature and truncation of sampling, as `SampleRequest` has them.

    Attributes:
        temperature: From 0 up; 0 is greedy.
        top_p: In (0, 1]: the smallest set of most likely tokens with this total probability.
        top_k: The k most likely tokens; 0 is all of them.

    Raises:
        SettingsError: A value is out of range.
    """

    temperature: float = 0.8
    top_p: float = 1.0
    top_k: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        if not _number(self.temperature) or not 0 <= self.temperature < math.inf:
            raise SettingsError(
                f"temperature is {self.temperature!r}; it must be a number from 0 up"
            )
        if not _number(self.top_p) or not 0 < self.top_p <= 1:
            raise SettingsError(f"top_p is {self.top_p!r}; it must be above 0 and at most 1")
        if type(self.top_k) is not int or self.top_k < 0:
            raise SettingsError(f"top_k is {self.top_k!r}; it must be a whole number from 0 up")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
