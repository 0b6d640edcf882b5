"""Confidence intervals for shares, and for differences on the same questions."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise

Z = 1.96
"""Two-sided 95 %."""

PREFIXES = ("", "low_", "high_")
"""Of the names of a figure, and of the ends of its interval."""


def wilson(right: float, total: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share.

    Args:
        right: Number of successes, 0 to `total`; may be fractional when a
            figure is interpolated.
        total: Number of trials; 0 gives the interval (0, 1).

    Source:
        Wilson 1927, without continuity correction.
    """
    if not total:
        return (0.0, 1.0)
    p = right / total
    centre = p + Z * Z / (2 * total)
    half = Z * math.sqrt(p * (1 - p) / total + Z * Z / (4 * total * total))
    scale = 1 + Z * Z / total
    return ((centre - half) / scale, (centre + half) / scale)


def paired_difference(
    a: Sequence[float], b: Sequence[float], *, draws: int = 4000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of `a[i] - b[i]` and its 95 % bootstrap interval over questions.

    Args:
        a: One value per question, in [0, 1].
        b: One value per question, in the same order.
        draws: Bootstrap resamples.
        seed: Of the resampling.

    Returns:
        (mean, low, high).

    Raises:
        ValueError: The two are empty or of different length.
    """
    if len(a) != len(b) or not a:
        raise ValueError("paired values must be as many, and at least one")
    differences = [x - y for x, y in zip(a, b, strict=True)]
    rng = random.Random(seed)
    n = len(differences)
    means = sorted(sum(rng.choices(differences, k=n)) / n for _ in range(draws))
    return (sum(differences) / n, means[int(0.025 * draws)], means[int(0.975 * draws) - 1])


def difference_figures(name: str, a: Sequence[float], b: Sequence[float]) -> dict[str, float]:
    """`paired_difference` as figures: `name`, `low_name` and `high_name`."""
    values = paired_difference(a, b)
    return {f"{prefix}{name}": value for prefix, value in zip(PREFIXES, values, strict=True)}


def share_figures(name: str, values: Sequence[float]) -> dict[str, float]:
    """The mean of values in [0, 1] as figures: `name`, `low_name` and `high_name` (`wilson`)."""
    shown = (sum(values) / len(values), *wilson(sum(values), len(values)))
    return {f"{prefix}{name}": value for prefix, value in zip(PREFIXES, shown, strict=True)}


def interpolate(points: Sequence[tuple[float, float]], x: float) -> float:
    """The value at `x` on the line through `points` (sorted by x), flat outside.

    Used for shares right at a number of tokens between two settings.
    """
    if not points:
        raise ValueError("no points to interpolate between")
    points = sorted(points)
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0) if x1 > x0 else y1
    return points[-1][1]
