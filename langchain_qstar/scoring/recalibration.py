"""Making a scorer's values mean what they say: a monotone map fitted on held-out labels.

Fitting needs scikit-learn (extra `train`); applying needs nothing. A map never changes
which of two steps is better, except that `isotonic` may make them equal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from langchain_qstar.errors import InputError, MissingExtraError
from langchain_qstar.protocols import ScoreRequest, Scores, StepScorer
from langchain_qstar.scoring.calibration import Floats

_EDGE: Final = 1e-6
_LEAST_SLOPE: Final = 0.05
"""A scorer that ranks the wrong way round is made flat, not turned round."""


@dataclass(frozen=True)
class Logistic:
    """p -> sigmoid(slope * logit(p) + intercept); with intercept 0 temperature 1 / slope.

    Source: Guo et al., 2017, section 4.2 (temperature); Platt, 1999 (with intercept).
    """

    slope: float
    intercept: float = 0.0

    def __call__(self, values: Floats) -> Floats:
        """The calibrated values, in [0, 1]."""
        return _sigmoid(self.slope * _logit(values) + self.intercept)


@dataclass(frozen=True)
class Isotonic:
    """A rising line through points. Source: Zadrozny and Elkan, 2002."""

    values: tuple[float, ...]
    targets: tuple[float, ...]

    def __call__(self, values: Floats) -> Floats:
        """The calibrated values, in [0, 1]."""
        return np.interp(values, self.values, self.targets)


Recalibration = Logistic | Isotonic
_KINDS: Final = {"logistic": Logistic, "isotonic": Isotonic}


def fit_logistic(
    logits: Sequence[float] | Floats,
    targets: Sequence[float] | Floats,
    weights: Sequence[float] | Floats | None = None,
    *,
    intercept: bool,
) -> Logistic:
    """The map of least cross-entropy.

    Args:
        logits: What is mapped, before any sigmoid.
        targets: In [0, 1], outcomes or shares.
        weights: Of each pair, default 1.
        intercept: Whether to fit one; without it only the temperature is fitted.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise MissingExtraError("scikit-learn", "train") from None
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    weight = np.ones_like(y) if weights is None else np.asarray(weights, dtype=np.float64)
    # A share is both outcomes, each with its part of the weight.
    both = np.concatenate([weight * y, weight * (1 - y)])
    if not both[: len(y)].sum() or not both[len(y) :].sum():
        return Logistic(1.0)  # all right or all wrong: nothing to be fitted to
    outcomes = np.concatenate([np.ones(len(y)), np.zeros(len(y))])
    model = LogisticRegression(C=np.inf, fit_intercept=intercept)
    model.fit(np.concatenate([z, z])[:, None], outcomes, sample_weight=both)
    slope = max(float(model.coef_[0, 0]), _LEAST_SLOPE)
    return Logistic(slope, float(model.intercept_[0]) if intercept else 0.0)


def fit_temperature(
    values: Sequence[float] | Floats, targets: Sequence[float] | Floats
) -> Logistic:
    """Temperature scaling of values in [0, 1]."""
    return fit_logistic(_logit(np.asarray(values)), targets, intercept=False)


def fit_isotonic(values: Sequence[float] | Floats, targets: Sequence[float] | Floats) -> Isotonic:
    """The rising map of least squared error; wants some hundreds of labels.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.isotonic import IsotonicRegression
    except ImportError:
        raise MissingExtraError("scikit-learn", "train") from None
    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    model.fit(np.asarray(values), np.asarray(targets))
    points = (tuple(map(float, each)) for each in (model.X_thresholds_, model.y_thresholds_))
    return Isotonic(*points)


def save_recalibration(map_: Recalibration, path: Path | str) -> None:
    """Write it as JSON."""
    kind = next(name for name, each in _KINDS.items() if isinstance(map_, each))
    document = {"kind": kind, **vars(map_)}
    Path(path).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load_recalibration(path: Path | str) -> Recalibration:
    """Read what `save_recalibration` wrote.

    Raises:
        InputError: The file does not hold such a map.
    """
    try:
        document = json.loads(Path(path).read_text("utf-8"))
        kind: Any = _KINDS[document.pop("kind")]
        loaded: Recalibration = kind(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"cannot load a recalibration from {path}: {error!r}") from None
    return loaded


class RecalibratedScorer:
    """Any scorer, its values mapped."""

    def __init__(self, scorer: StepScorer, recalibration: Recalibration) -> None:
        """Wrap `scorer`."""
        self._scorer = scorer
        self._map = recalibration

    @property
    def name(self) -> str:
        """A short name for reports."""
        return f"{self._scorer.name}, recalibrated"

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score all requests as one batch."""
        return [self._mapped(each) for each in self._scorer.score(requests)]

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, without blocking the event loop."""
        return [self._mapped(each) for each in await self._scorer.ascore(requests)]

    def _mapped(self, scores: Scores) -> Scores:
        values = self._map(np.asarray(scores.values, dtype=np.float64))
        return Scores(
            tuple(map(float, values)),
            scores.completions,
            scores.generated_tokens,
            scores.read_tokens,
        )


def _logit(values: Any) -> Floats:
    clipped = np.clip(values, _EDGE, 1 - _EDGE)
    logits: Floats = np.log(clipped / (1 - clipped))
    return logits


def _sigmoid(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
