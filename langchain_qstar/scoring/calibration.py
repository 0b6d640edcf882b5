"""How good a scorer is: does it rank solutions of one problem, do its values mean what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.floating[Any]]]"


def within_group_auc(scores: Sequence[Sequence[float]], right: Sequence[Sequence[bool]]) -> float:
    """Mean over groups of the chance that a right item outscores a wrong one.

    Ties count half. Groups that are all right or all wrong say nothing and are
    left out. This is the figure a scorer is judged by: an AUC pooled over
    questions mostly tells easy questions from hard ones.

    Args:
        scores: For each question, a score per solution.
        right: For each question, whether each solution is right.

    Returns:
        A value in [0, 1], or NaN when no group has both.
    """
    values = []
    for group, truth in zip(scores, right, strict=True):
        good = [s for s, t in zip(group, truth, strict=True) if t]
        bad = [s for s, t in zip(group, truth, strict=True) if not t]
        if good and bad:
            wins = sum((g > b) + 0.5 * (g == b) for g in good for b in bad)
            values.append(wins / (len(good) * len(bad)))
    return sum(values) / len(values) if values else math.nan


@dataclass(frozen=True, slots=True)
class Bin:
    """One point of a reliability curve: `count` values of about the same size.

    `value` is their mean, `target` the mean of what they should have been; both in [0, 1].
    """

    value: float
    target: float
    count: int


def reliability_curve(
    values: Sequence[float] | Floats, targets: Sequence[float] | Floats, bins: int = 10
) -> list[Bin]:
    """What a scorer's values turned out to mean, over equal-width bins; empty ones left out.

    Args:
        values: In [0, 1].
        targets: In [0, 1], one per value; shares will do as well as outcomes.
        bins: How many.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, section 2.
    """
    v, t = np.asarray(values, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    place = np.minimum((v * bins).astype(int), bins - 1)
    return [
        Bin(float(v[place == b].mean()), float(t[place == b].mean()), int((place == b).sum()))
        for b in range(bins)
        if (place == b).any()
    ]


def calibration_error(
    values: Sequence[float] | Floats, targets: Sequence[float] | Floats, bins: int = 10
) -> float:
    """Expected calibration error over equal-width bins, in [0, 1].

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, eq. 3.
    """
    curve = reliability_curve(values, targets, bins)
    total = sum(each.count for each in curve)
    return sum(abs(each.value - each.target) * each.count for each in curve) / max(total, 1)
