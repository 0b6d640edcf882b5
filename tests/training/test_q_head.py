"""Labels of the Q-value head, and a head fitted to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the transformers extra")

import torch

from langchain_qstar.scoring.features import NUMERIC_FEATURES
from langchain_qstar.scoring.q_head import Head
from langchain_qstar.training.q_head import (
    HeadRecipe,
    Labels,
    best_return,
    fit,
    mean_return,
    rollout_problems,
    save,
)

WIDTH = 4 + len(NUMERIC_FEATURES)


def test_one_right_rollout_of_ten_makes_the_best_return_one() -> None:
    assert best_return([0.0] * 9 + [1.0]) == 1.0
    assert best_return([0.0] * 10) == 0.0


def test_the_mean_return_is_the_share_of_right_rollouts() -> None:
    assert mean_return([1.0, 0.0, 0.0, 1.0]) == 0.5


def test_rollout_problems_are_fresh_training_problems_of_every_difficulty() -> None:
    problems = rollout_problems(HeadRecipe(problems=18))
    assert {p.split for p in problems} == {"train"}
    assert sorted({p.steps for p in problems}) == list(range(2, 11))


def synthetic(seed: int = 0) -> Labels:
    """Problems with two solutions each; one input tells right from wrong, one tells nothing."""
    rng = np.random.default_rng(seed)
    rows: list[np.ndarray[Any, Any]] = []
    returns: list[list[float]] = []
    owners: list[int] = []
    solutions: list[tuple[int, list[int], bool]] = []
    for problem in range(300):
        ease = rng.normal()
        for right in (True, False):
            x = rng.normal(size=WIDTH) * 0.5
            x[0] = ease
            x[1] += 2.0 if right else -2.0
            solutions.append((problem, [len(rows)], right))
            rows.append(x)
            returns.append([float(right)])
            owners.append(problem)
    return Labels(np.array(rows, dtype=np.float32), returns, np.array(owners), solutions)


def test_a_head_learns_what_tells_right_from_wrong_within_a_problem() -> None:
    trained = fit(synthetic(), HeadRecipe(epochs=12, hidden=8, learning_rate=0.03))
    assert trained.figures["within_problem_auc_last"] > 0.95
    assert trained.figures["ece"] < 0.15


def test_a_saved_head_gives_the_values_it_was_trained_to_give(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    recipe = HeadRecipe(epochs=3, hidden=8)
    labels = synthetic()
    trained = fit(labels, recipe)
    save(trained, tmp_path, (1, 2), recipe)
    head = Head(tmp_path)
    assert head.layers == (1, 2)
    with torch.inference_mode():
        logits = trained.network(torch.from_numpy(labels.features[:20])) / trained.temperature
    expected = torch.sigmoid(logits).tolist()
    assert head.probabilities(labels.features[:20]) == pytest.approx(expected, abs=1e-5)
