"""How good a scorer is: does it rank solutions of one problem, do its values mean what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def within_group_auc(scores: Sequence[Sequence[float]], right: Sequence[Sequence[bool]]) -> float:
    """Mean over groups of the chance that a right item outscores a wrong one.

    Ties count half. Groups that are all right or all wrong say nothing and are
    left out. This is the figure a scorer is judged by: an AUC pooled over
    questions mostly tells easy questions from hard ones (nano.md, section 2).

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


def calibration_error(
    values: np.ndarray[Any, Any], targets: np.ndarray[Any, Any], bins: int = 10
) -> float:
    """Expected calibration error over equal-width bins, in [0, 1].

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, eq. 3.
    """
    place = np.minimum((values * bins).astype(int), bins - 1)
    gaps = [
        abs(values[place == b].mean() - targets[place == b].mean()) * (place == b).mean()
        for b in range(bins)
        if (place == b).any()
    ]
    return float(sum(gaps))
