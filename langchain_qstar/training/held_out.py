"""How good a value model is on problems that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from langchain_qstar.scoring.calibration import (
    Bin,
    calibration_error,
    reliability_curve,
    within_group_auc,
)
from langchain_qstar.scoring.features import NUMERIC_FEATURES, step_features
from langchain_qstar.training.examples import Example


@dataclass(frozen=True)
class HeldOut:
    """Held-out problems.

    Attributes:
        examples: The problems.
        values: Of their rows, in [0, 1].
        targets: Of their rows, in [0, 1].
    """

    examples: Sequence[Example]
    values: Sequence[Sequence[float]]
    targets: Sequence[Sequence[float]]

    def curve(self) -> list[Bin]:
        """What the values turned out to mean."""
        return reliability_curve(*self._flat())

    def _flat(self) -> tuple[list[float], list[float]]:
        return [v for each in self.values for v in each], [t for e in self.targets for t in e]

    def figures(self) -> dict[str, float]:
        """AUC within a problem, of whole solutions, and calibration error, of steps.

        A solution is scored by its least step, by its last, and for comparison by the
        mean log-probability of its tokens.
        """
        logprobs = [_mean_logprobs(example) for example in self.examples]
        found = {
            "within_problem_auc_min": self._auc(self.values, min),
            "within_problem_auc_last": self._auc(self.values, _last),
            "within_problem_auc_logprob": self._auc(logprobs, _last),
            "held_out_problems": float(len(self.examples)),
            "ece": calibration_error(*self._flat()),
        }
        return {name: round(value, 4) for name, value in found.items()}

    def _auc(
        self,
        values: Sequence[Sequence[float]],
        aggregate: Callable[[Sequence[float]], float],
    ) -> float:
        scores = [
            [aggregate([of[row] for row in rows]) for rows, _ in example.solutions]
            for example, of in zip(self.examples, values, strict=True)
        ]
        right = [[is_right for _, is_right in example.solutions] for example in self.examples]
        return within_group_auc(scores, right)


def _last(values: Sequence[float]) -> float:
    return values[-1]


def _mean_logprobs(example: Example) -> list[float]:
    """Of all tokens up to the end of each row's step."""
    place = NUMERIC_FEATURES.index("path_mean_logprob")
    return [step_features(each.state, each.steps[0])[place] for each in example.requests]
