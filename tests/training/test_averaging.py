"""The mean of two models' weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from langchain_qstar.errors import ModelSpecError  # noqa: E402
from langchain_qstar.training.averaging import average_weights, main  # noqa: E402


def model(folder: Path, value: float, size: int = 2, tokens: int = 1_000_000) -> Path:
    folder.mkdir()
    weights: dict[str, Any] = {"layer": torch.full((size,), value, dtype=torch.float16)}
    save_file(weights, folder / "model.safetensors")
    (folder / "recipe.json").write_text(json.dumps({"seed": 2, "trained": {"tokens": tokens}}))
    (folder / "checkpoint.pt").write_bytes(b"large")
    return folder


def test_the_mean_weighs_the_first_by_its_share_and_says_so(tmp_path: Path):
    early, late = model(tmp_path / "a", 1.0), model(tmp_path / "b", 3.0, tokens=2_000_000)
    main([str(early), str(late), "--share", "0.25", "--out", str(tmp_path / "mean")])
    mean = load_file(tmp_path / "mean" / "model.safetensors")["layer"]
    assert mean.tolist() == [2.5, 2.5]
    assert mean.dtype == torch.float16
    recipe = json.loads((tmp_path / "mean" / "recipe.json").read_text())
    assert recipe["averaged"] == "0.25 of the weights at 1.0 million tokens"
    assert recipe["trained"]["tokens"] == 2_000_000
    assert not (tmp_path / "mean" / "checkpoint.pt").exists()


def test_a_negative_share_goes_past_the_later_weights(tmp_path: Path):
    early, late = model(tmp_path / "a", 1.0), model(tmp_path / "b", 3.0)
    average_weights(early, late, tmp_path / "past", -0.25)
    assert load_file(tmp_path / "past" / "model.safetensors")["layer"].tolist() == [3.5, 3.5]


def test_models_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path: Path):
    early, late = model(tmp_path / "a", 1.0), model(tmp_path / "b", 3.0, size=3)
    with pytest.raises(ModelSpecError, match="different shapes"):
        average_weights(early, late, tmp_path / "mean", 0.5)
    assert not (tmp_path / "mean").exists()


@pytest.mark.parametrize("share", [-0.6, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(tmp_path: Path, share: float):
    early, late = model(tmp_path / "a", 1.0), model(tmp_path / "b", 3.0)
    with pytest.raises(ModelSpecError, match="share"):
        average_weights(early, late, tmp_path / "mean", share)


def test_a_folder_without_a_model_or_an_old_folder_to_write_is_refused(tmp_path: Path):
    early, late = model(tmp_path / "a", 1.0), model(tmp_path / "b", 3.0)
    with pytest.raises(ModelSpecError, match="holds no model"):
        average_weights(tmp_path, late, tmp_path / "mean", 0.5)
    with pytest.raises(ModelSpecError, match="new folder"):
        average_weights(early, late, late, 0.5)
