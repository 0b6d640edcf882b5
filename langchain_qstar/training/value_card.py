"""The card of a trained Q-value model, and its reliability curve as a drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from langchain_qstar.scoring.calibration import Bin

CARD_FILE: Final = "README.md"
PLOT_FILE: Final = "calibration.svg"
_PLACES: Final = {
    "50": "50 % of the steps",
    "75": "75 % of the steps",
    "middle": "both",
    "end": "the end",
}
_SIZE: Final = 240
_MARGIN: Final = 36


def write_card(folder: Path, config: Mapping[str, Any], curve: Sequence[Bin]) -> None:
    """Write the card and the plot of a training."""
    (folder / PLOT_FILE).write_text(reliability_svg(curve), encoding="utf-8")
    (folder / CARD_FILE).write_text(_card(config), encoding="utf-8")


def reliability_svg(curve: Sequence[Bin]) -> str:
    """Mean value against what it should have been, a dot a bin; the diagonal is perfect."""

    def place(value: float, target: float) -> tuple[float, float]:
        return _MARGIN + value * _SIZE, _MARGIN + (1 - target) * _SIZE

    total = max((each.count for each in curve), default=1)
    points = [(*place(each.value, each.target), each.count / total) for each in curve]
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2 + 6 * share**0.5:.1f}" fill="#2563eb"/>'
        for x, y, share in points
    )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    side = _SIZE + 2 * _MARGIN
    low, high = _MARGIN, _MARGIN + _SIZE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" '
        f'font-family="sans-serif" font-size="11">'
        f'<rect width="{side}" height="{side}" fill="white"/>'
        f'<path d="M{low} {low}V{high}H{high}" fill="none" stroke="#111827"/>'
        f'<path d="M{low} {high}L{high} {low}" stroke="#9ca3af" stroke-dasharray="4"/>'
        f'<polyline points="{line}" fill="none" stroke="#2563eb"/>{dots}'
        f'<text x="{side / 2}" y="{side - 10}" text-anchor="middle">value of a step</text>'
        f'<text x="12" y="{side / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {side / 2})">share that ended right</text>'
        f'<text x="{low}" y="{high + 14}">0</text>'
        f'<text x="{high}" y="{high + 14}" text-anchor="end">1</text></svg>\n'
    )


def _card(config: Mapping[str, Any]) -> str:
    figures, labels, recipe = config["figures"], config["labels"], config["recipe"]
    made = ", ".join(f"{k} {v}" for k, v in labels.items() if v is not None)
    settings = ", ".join(f"{k} {v}" for k, v in recipe.items())
    policy = config["policy"]["name"]
    return f"""---
library_name: langchain-qstar
tags: [q-value-model, process-reward-model]
---

# Q-value model for {policy}

Gives Q(state, step) in [0, 1] for the reasoning steps of `{policy}`. It loads by
`QStarChain(policy, q_model="FOLDER")` and belongs to that policy alone.

## Data
{figures["prefixes"]:.0f} distinct steps, labelled by their outcome: {made}. Only questions with
right and wrong rollouts are learnt from; there are {figures["mixed_problems"]:.0f}, held-out ones
included.

## Training
`qstar train`: {settings}.

## What it fits
{config["fits"]}
{_ranking_table(figures)}
A search compares solutions in mid-path; a vote weighs ended ones. In square brackets: 95 %
bootstrap intervals over questions.
{"".join(f"{chr(10)}Note: {note}.{chr(10)}" for note in config["notes"])}
## Figures
On {figures["held_out_problems"]:.0f} held-out problems the AUC within a problem is
{figures["within_problem_auc_last"]:.3f} by the last step of a solution and
{figures["within_problem_auc_min"]:.3f} by its least; mean log-probability alone has
{figures["within_problem_auc_logprob"]:.3f}. Expected calibration error: {figures["ece"]:.3f}.

![what a value meant on held-out problems]({PLOT_FILE})
"""


def _ranking_table(figures: Mapping[str, float]) -> str:
    """AUC within a question at every place, beside that of log-probability."""
    rows = [
        f"| {told} | {_interval(figures, f'auc_{name}', '.3f')} | "
        f"{figures.get(f'logprob_auc_{name}', math.nan):.3f} | "
        f"{_interval(figures, f'gain_{name}', '+.3f')} |"
        for name, told in _PLACES.items()
        if f"auc_{name}" in figures
    ]
    if not rows:
        return ""
    head = (
        f"AUC within a question, of {figures['ranked_problems']:.0f} held-out questions with right "
        "and wrong solutions:\n\n"
        "| read at | this model | log-probability | difference |\n|---|---|---|---|\n"
    )
    return "\n" + head + "\n".join(rows) + "\n"


def _interval(figures: Mapping[str, float], name: str, form: str) -> str:
    low, middle, high = (figures[f"{side}{name}"] for side in ("low_", "", "high_"))
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"
