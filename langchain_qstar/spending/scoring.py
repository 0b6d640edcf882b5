"""Scoring within what may be spent: a scorer may sample, and then its values are all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_qstar.protocols import ScoreRequest, Scores, StepScorer
from langchain_qstar.spending.allowance import Allowance, current


def scored(scorer: StepScorer, requests: Sequence[ScoreRequest]) -> list[Scores] | None:
    """What `scorer` says; None where a budget cut short what it would have asked.

    Values from a part of what a scorer samples are not those that it would have given.
    """
    watched = _Watched(current())
    whole: list[Scores] | None = watched.whole(scorer.score(requests))
    return whole


async def ascored(scorer: StepScorer, requests: Sequence[ScoreRequest]) -> list[Scores] | None:
    """As `scored`, without blocking the event loop."""
    watched = _Watched(current())
    whole: list[Scores] | None = watched.whole(await scorer.ascore(requests))
    return whole


class _Watched:
    """What a scorer spends."""

    def __init__(self, allowance: Allowance | None) -> None:
        self._allowance = allowance
        self._cuts = () if allowance is None else tuple(allowance.cuts)
        self._drawn = (0, 0) if allowance is None else (allowance.drawn, allowance.drawn_tokens)

    def whole(self, scores: Any) -> Any:
        """The scores, counted; None where something was cut."""
        allowance = self._allowance
        if allowance is None or not isinstance(scores, Sequence):
            return scores
        told = [each for each in scores if isinstance(each, Scores)]
        drawn, tokens = self._drawn
        allowance.drawn = max(allowance.drawn, drawn + sum(each.completions for each in told))
        spent = tokens + sum(each.generated_tokens for each in told)
        allowance.drawn_tokens = max(allowance.drawn_tokens, spent)
        return scores if tuple(allowance.cuts) == self._cuts else None


def affordable(wanted: int) -> tuple[int, int | None]:
    """How many replies a scorer that asks by itself may ask for, and how long each may get.

    Args:
        wanted: Replies wanted.

    Returns:
        The number, and the most tokens of each; None is no limit.
    """
    allowance = current()
    if allowance is None:
        return wanted, None
    count, tokens = wanted, allowance.tokens_left
    if (left := allowance.completions_left) is not None and left < count:
        allowance.cut_by("completions")
        count = left
    if tokens is not None and tokens < count:
        allowance.cut_by("tokens")
        count = tokens
    return count, None if tokens is None or not count else tokens // count
