"""How well values rank the rollouts of one question: in the middle of them, and at their end.

A search compares solutions that are not finished; a vote weighs finished ones. So a value
model is judged at 50 and 75 % of the steps and at the end, each time beside the mean
log-probability of the same tokens, which costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Final

from langchain_qstar.evaluation.intervals import difference_figures
from langchain_qstar.scoring.calibration import within_group_auc
from langchain_qstar.scoring.features import NUMERIC_FEATURES, step_features
from langchain_qstar.training.examples import Example

PLACES: Final[Mapping[str, float]] = {"50": 0.5, "75": 0.75, "end": 1.0}
"""Shares of the steps of a solution, by what figures call them."""

MIDDLE: Final = ("50", "75")

_CHANCE: Final = 0.5
_CERTAIN_FROM: Final = 2
"""Questions from which an interval says anything."""


def aucs(example: Example, values: Sequence[float], place: str) -> float | None:
    """The AUC within a question at a place; None where it has no right and wrong ones.

    Args:
        example: The question.
        values: Of its rows.
        place: One of `PLACES`. At the end only rollouts count that ended.
    """
    paths = example.solutions if place == "end" else example.rollouts
    paths = [(rows, is_right) for rows, is_right in paths if rows]
    scores = [values[rows[math.ceil(PLACES[place] * len(rows)) - 1]] for rows, _ in paths]
    found = within_group_auc([scores], [[is_right for _, is_right in paths]])
    return None if math.isnan(found) else found


def middle_auc(examples: Sequence[Example], values: Sequence[Sequence[float]]) -> float:
    """The mean AUC within a question in the middle; NaN where nothing can be ranked."""
    found = [
        known
        for example, of in zip(examples, values, strict=True)
        for place in MIDDLE
        if (known := aucs(example, of, place)) is not None
    ]
    return mean(found) if found else math.nan


def ranking_figures(
    examples: Sequence[Example], values: Sequence[Sequence[float]]
) -> dict[str, float]:
    """AUC within a question at every place, that of log-probability, and the difference.

    Returns:
        For each PLACE, and `middle` for 50 and 75 % together: `auc_PLACE`,
        `logprob_auc_PLACE`, and `gain_PLACE` with its 95 % bootstrap interval over questions
        as `low_gain_PLACE` and `high_gain_PLACE`; intervals of `auc_PLACE` likewise. Without
        log-probabilities the gain is that over chance. A place with fewer than two mixed
        questions is left out. `ranked_problems` is how many there are in the middle.
    """
    logprobs = [path_logprobs(each) for each in examples]
    known = any(value for each in logprobs for value in each)
    places = {place: (place,) for place in PLACES} | {"middle": MIDDLE}
    figures: dict[str, float] = {}
    for name, together in places.items():
        pairs = [
            (mine, theirs)
            for example, of, logprob in zip(examples, values, logprobs, strict=True)
            if (mine := _mean_auc(example, of, together)) is not None
            and (theirs := _mean_auc(example, logprob, together)) is not None
        ]
        if name == "middle":
            figures["ranked_problems"] = float(len(pairs))
        if len(pairs) < _CERTAIN_FROM:
            continue
        own = [pair[0] for pair in pairs]
        base = [pair[1] for pair in pairs] if known else [_CHANCE] * len(pairs)
        figures |= difference_figures(f"auc_{name}", own, [0.0] * len(own))
        if known:
            figures[f"logprob_auc_{name}"] = mean(base)
        figures |= difference_figures(f"gain_{name}", own, base)
    return {name: round(value, 4) for name, value in figures.items()}


def path_logprobs(example: Example) -> list[float]:
    """The mean log-probability of all tokens up to the end of each row's step."""
    place = NUMERIC_FEATURES.index("path_mean_logprob")
    return [step_features(each.state, each.steps[0])[place] for each in example.requests]


def fitness(figures: Mapping[str, float]) -> str:
    """Which use the figures of held-out questions speak for, in one plain sentence."""
    search, vote = (_judged(figures, name) for name in ("middle", "end"))
    beside = "log-probability" if "logprob_auc_middle" in figures else "chance"
    told = {
        name: f"{figures[f'gain_{name}']:+.3f} "
        f"[{figures[f'low_gain_{name}']:+.3f}, {figures[f'high_gain_{name}']:+.3f}]"
        for name in ("middle", "end")
        if f"gain_{name}" in figures
    }
    shown = "; ".join(
        f"{where} {told[name]}"
        for name, where in (("middle", "in mid-path"), ("end", "at the end"))
        if name in told
    )
    if not shown:
        return "Undecided: too few held-out questions have right and wrong solutions."
    uses = {"search": search, "vote weight": vote}
    fits = [use for use, found in uses.items() if found == "above"]
    open_ = [use for use, found in uses.items() if found == "undecided"]
    if fits:
        rest = f" ({open_[0]} undecided)" if open_ else ""
        said = f"Fits {' and '.join(fits)}{rest}"
    elif open_:
        said = "Undecided" if len(open_) == len(uses) else f"Undecided for {open_[0]}"
    else:
        said = "Fits neither search nor vote weight"
    return f"{said}: AUC within a question minus that of {beside} is {shown}."


def _judged(figures: Mapping[str, float], name: str) -> str:
    low, high = (figures.get(f"{side}_gain_{name}", math.nan) for side in ("low", "high"))
    if low > 0:
        return "above"
    return "below" if high <= 0 else "undecided"


def _mean_auc(example: Example, values: Sequence[float], places: Sequence[str]) -> float | None:
    found = [aucs(example, values, place) for place in places]
    known = [each for each in found if each is not None]
    return mean(known) if len(known) == len(found) else None
