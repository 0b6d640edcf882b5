"""Average the weights of two models that lie on one training's path.

`python -m langchain_qstar.training.averaging EARLY LATE --share 0.4 --out FOLDER` mixes
exports of the same recipe, such as the ends of two decays of the learning rate. Between
such ends the mean often solves a little more than either (stochastic weight averaging,
Izmailov et al. 2018). A negative share goes past the later one instead: its weights are
noisier, so it slips more often, and on something else each time, which votes, checks and
searches can mend. Models of different shape or tokenizer are refused.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from shutil import copytree, ignore_patterns

from langchain_qstar.errors import ModelSpecError

WEIGHTS_FILE = "model.safetensors"
_LEAST_SHARE = -0.5


def average_weights(early: Path, late: Path, out: Path, share: float) -> None:
    """Write `share * early + (1 - share) * late` as a model folder like `late`.

    Args:
        early: A folder with a model.
        late: Another, of the same shape; everything but the weights is copied from it.
        out: The new folder; its recipe says what it is the mean of.
        share: Of `early`, in [-0.5, 1]; below 0 the weights lie beyond `late`.

    Raises:
        ModelSpecError: A folder holds no model, the two do not fit, or `out` exists.
    """
    from safetensors.torch import load_file, save_file

    for folder in (early, late):
        if not (folder / WEIGHTS_FILE).is_file():
            raise ModelSpecError(f"{folder} holds no {WEIGHTS_FILE}")
    if out.exists() or not _LEAST_SHARE <= share <= 1:
        raise ModelSpecError(f"needs a new folder and a share in [-0.5, 1]; got {out}, {share}")
    a, b = load_file(early / WEIGHTS_FILE), load_file(late / WEIGHTS_FILE)
    if {name: each.shape for name, each in a.items()} != {n: each.shape for n, each in b.items()}:
        raise ModelSpecError(f"{early} and {late} are models of different shapes")
    mean = {
        name: (share * a[name].float() + (1 - share) * b[name].float()).to(b[name].dtype)
        for name in b
    }
    copytree(late, out, ignore=ignore_patterns("checkpoint.pt", "training.jsonl", WEIGHTS_FILE))
    save_file(mean, out / WEIGHTS_FILE, metadata={"format": "pt"})
    recipe_file = out / "recipe.json"
    recipe = json.loads(recipe_file.read_text("utf-8"))
    tokens = json.loads((early / "recipe.json").read_text("utf-8"))["trained"]["tokens"]
    recipe["averaged"] = f"{share:g} of the weights at {tokens / 1e6:.1f} million tokens"
    recipe_file.write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="average the weights of two exported models")
    parser.add_argument("early", type=Path)
    parser.add_argument("late", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the first; default: 0.5")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    average_weights(options.early, options.late, options.out, options.share)


if __name__ == "__main__":
    main()
