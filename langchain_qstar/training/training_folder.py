"""The folder of a training: whose it is, whether it is finished, and the head it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from langchain_qstar.errors import SettingsError
from langchain_qstar.scoring.q_head import CONFIG_FILE, WEIGHTS_FILE
from langchain_qstar.scoring.recalibration import Logistic
from langchain_qstar.training.label_file import LabelFile
from langchain_qstar.training.recipe import ValueRecipe
from langchain_qstar.training.value_card import CARD_FILE
from langchain_qstar.training.value_network import ValueHead

SETTINGS_FILE: Final = "training.json"
"""What a folder is being trained with, so that another training does not continue it."""


def finished_config(out: Path, made_of: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `out` says of itself, if the card, which is written last, says that it is whole."""
    if not (out / CARD_FILE).exists():
        return None
    try:
        config: dict[str, Any] = json.loads((out / CONFIG_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None  # damaged since: written anew from the last checkpoint
    same = all(config.get(key) == json.loads(json.dumps(each)) for key, each in made_of.items())
    return config if same else None


def claim(out: Path, recipe: ValueRecipe, base: str | None, labels: LabelFile) -> None:
    """Refuse to continue a training of other settings or labels; note these otherwise."""
    settings = json.loads(
        json.dumps({**asdict(recipe), "base": base, "questions": len(labels.questions)})
    )
    path = out / SETTINGS_FILE
    try:
        out.mkdir(parents=True, exist_ok=True)
        known = json.loads(path.read_text("utf-8")) if path.exists() else settings
        if known == settings:
            path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
            return
        names = [name for name in settings if known.get(name) != settings[name]]
    except OSError as error:
        raise SettingsError(f"cannot write to {out}: {error.strerror or error}") from None
    except (ValueError, AttributeError):
        raise SettingsError(f"{path} is damaged; delete it and checkpoints there") from None
    raise SettingsError(
        f"{out} holds a training with another {', '.join(names)}; choose another --out, "
        f"or delete {SETTINGS_FILE} and checkpoints there"
    )


def save_head(head: ValueHead, calibration: Logistic, config: dict[str, Any], out: Path) -> None:
    """Write the two files that `scoring.q_head` reads."""
    state = head.state_dict()
    names = {"mean": "mean", "std": "std", "w2": "outer.weight", "b2": "outer.bias"}
    if head.inner is not None:
        names |= {"w1": "inner.weight", "b1": "inner.bias"}
    tensors = {name: state[key].cpu().contiguous() for name, key in names.items()}
    # sigmoid(slope * z + intercept) = sigmoid((z + intercept / slope) / temperature)
    tensors["b2"] = tensors["b2"] + calibration.intercept / calibration.slope
    tensors["temperature"] = torch.tensor([1 / calibration.slope])
    save_file(tensors, out / WEIGHTS_FILE)
    (out / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
