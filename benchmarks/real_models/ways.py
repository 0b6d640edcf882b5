"""The ways that `search.py` compares, and those that settings are to be chosen among."""

from __future__ import annotations

from typing import Any, Final

from langchain_qstar.settings import QStarSettings
from real_models.searches import Way

SAMPLING: Final = {"temperature": 0.7, "top_p": 0.8, "top_k": 20}
"""Of all sampling: what the publisher of this family of models recommends."""

REFERENCE: Final = "checked_vote"
"""The way that the others are compared to."""


def ways(cap: int, head: str | None) -> list[Way]:
    """What is judged: baselines, and Q* with each scorer."""
    search = searching(cap)
    found = [
        Way("greedy", "greedy", None, None, {}),
        Way("checked_vote", "checked_vote", cap, None, SAMPLING),
        Way("vote", "vote", cap, None, SAMPLING),
        Way("best_of_n", "best_of_n", cap, "path-log-probability", SAMPLING),
        Way("qstar", "qstar", cap, "path-log-probability", search),
        Way("qstar_step", "qstar", cap, "log-probability", search),
        Way("qstar_agreement", "qstar", cap, "agreement", search),
    ]
    if head is not None:
        found += [
            Way("qstar_head", "qstar", cap, head, search),
            Way("weighted_head", "best_of_n", cap, head, {**SAMPLING, "weighted": True}),
        ]
    return found


_VERIFIES_NOT: Final[dict[str, Any]] = {**SAMPLING, "verify": "never"}

RSTAR_PROFILES: Final[dict[str, dict[str, Any]]] = {
    "small": {"num_steps": 2, "num_subquestions": 1, "num_votes": 3, "num_last_votes": 4},
    "narrow": {"num_steps": 1, "num_subquestions": 1, "num_votes": 2, "num_last_votes": 3},
    "steps": {"actions": ("propose_step", "finish"), "num_steps": 3, "num_last_votes": 4},
}
"""What the settings of rStar for a small budget are chosen among: what a rollout costs is bounded
by its votes first, then by its children."""

CHOSEN_RSTAR: Final = "small"


def rstar(cap: int) -> list[Way]:
    """rStar, whose rollout costs several solutions: at four and at eight times the cap."""
    settings = {**_VERIFIES_NOT, **RSTAR_PROFILES[CHOSEN_RSTAR]}
    return [Way(f"rstar_{times}", "rstar", times * cap, None, settings) for times in (4, 8)]


def tuned_rstar(cap: int) -> list[Way]:
    """What settings of rStar are chosen among, at four times the cap."""
    return [
        Way(f"rstar_4_{name}", "rstar", 4 * cap, None, {**_VERIFIES_NOT, **settings})
        for name, settings in RSTAR_PROFILES.items()
    ]


def searching(cap: int) -> dict[str, Any]:
    """The settings of Q* for a budget that differ from the defaults, but for the budget."""
    return QStarSettings.within(cap).model_dump(exclude_defaults=True, exclude={"max_tokens"})


def merging(search: dict[str, Any]) -> dict[str, Any]:
    """The same, but what is drawn alike counts once."""
    return {name: value for name, value in search.items() if name != "count_repeats"}


def tuned(cap: int) -> list[Way]:
    """What settings of Q* are chosen among: what repeats count, K, and the depth bias."""
    found = [Way("checked_vote", "checked_vote", cap, None, SAMPLING)]
    search = searching(cap)
    for name, settings in (("qstar", search), ("qstar_merged", merging(search))):
        found.append(Way(name, "qstar", cap, "path-log-probability", settings))
    for root, samples, bias, trajectories in (
        (4, 1, 0.0, 4),
        (2, 2, 0.0, 4),
        (2, 2, 0.1, 4),
        (4, 2, 0.1, 4),
        (6, 6, 0.0, 6),
    ):
        settings = {
            **SAMPLING,
            "root_samples": root,
            "num_samples": samples,
            "num_trajectories": trajectories,
            "depth_bias": bias,
            "selection": "majority",
        }
        name = f"qstar_{root}_{samples}_{bias:g}"
        found.append(Way(name, "qstar", cap, "path-log-probability", settings))
    return found
