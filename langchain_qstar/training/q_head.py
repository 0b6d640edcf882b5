"""Train the Q-value head of a model in a folder, and put it beside the model.

`python -m langchain_qstar.training.q_head --model FOLDER` is `qstar label` and
`qstar train` in one command, for a model of the bundled model's task: rollouts of
fresh training problems, labels from final answers alone (never from the generator's
knowledge of steps), a head on the hidden states. What it does on the way is kept in
`FOLDER-q-head`, so that the same command continues when it was interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from shutil import copyfile
from typing import Any

from langchain_qstar.chains import QStarChain
from langchain_qstar.models.transformers.policy import TransformersPolicy
from langchain_qstar.problems.generator import Problem, make_problems
from langchain_qstar.scoring.q_head import CONFIG_FILE, WEIGHTS_FILE
from langchain_qstar.tasks import NANO
from langchain_qstar.training.collection import collect_labels
from langchain_qstar.training.progress import Progress
from langchain_qstar.training.questions import nano_questions
from langchain_qstar.training.recipe import Kind, LossName, Target, ValueRecipe
from langchain_qstar.training.rollouts import LabelSettings
from langchain_qstar.training.value_model import Trained, train_value_model


@dataclass(frozen=True)
class HeadRecipe:
    """How a head is made; see `LabelSettings` and `ValueRecipe` for what each means.

    The loss is pairwise, because a search compares steps of one problem: with earlier weights,
    on 150 held-out problems, its AUC within a problem was 0.645, that of cross-entropy 0.628, of
    mean log-probability 0.617 (`--loss`). These problems also said when to stop, and the choice
    was made by them. Its calibration is worse: an error of 0.06 to 0.02.
    """

    problems: int = 1000
    samples: int = 8
    temperature: float = 0.8
    label: Target = "mean"
    loss: LossName = "pairwise"
    kind: Kind = "mlp"
    hidden: int = 96
    epochs: int = 40
    batch: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.03
    dropout: float = 0.2
    held_out: float = 0.15
    seed: int = 1


def make_head(folder: Path, recipe: HeadRecipe, layers: Sequence[int] = ()) -> Trained:
    """Label, train, and write the two files of a head into `folder`.

    Args:
        folder: A model of the task `nano`.
        recipe: How.
        layers: Hidden layers to read; none for the policy's default.

    Raises:
        InputError: There is no such model, or `FOLDER-q-head` was made with other settings.
    """
    work = folder.with_name(f"{folder.name}-q-head")
    policy = TransformersPolicy.from_pretrained(folder, name=folder.name)
    labels = collect_labels(
        nano_questions(recipe.problems, recipe.seed),
        policy,
        NANO,
        work / "labels.jsonl",
        LabelSettings(samples=recipe.samples, temperature=recipe.temperature, seed=recipe.seed),
        progress=_tell,
    )
    shared = {each.name for each in fields(ValueRecipe)}
    given = {name: value for name, value in vars(recipe).items() if name in shared}
    settings = ValueRecipe(target=recipe.label, layers=tuple(layers), **given)
    trained = train_value_model(labels, policy, NANO, work / "head", settings, told=_tell_epoch)
    _put(trained, folder, recipe)
    return trained


def search_shares(
    folder: Path, problems: Sequence[Problem], max_tokens: int = 1000
) -> dict[str, float]:
    """Shares of `problems` that Q* answers right with the head of `folder`, and without.

    Without is with the policy's log-probabilities as Q, the same tokens a question.

    Args:
        folder: A model with a head.
        problems: Such as the policy was not trained on.
        max_tokens: Tokens generated for a question.
    """
    policy = TransformersPolicy.from_pretrained(folder, name=folder.name)
    settings = {"max_tokens": max_tokens, "num_trajectories": 64, "selection": "weighted_majority"}
    shares = {}
    for name, q_model in (("with_head", str(folder)), ("without_head", "log-probability")):
        chain = QStarChain(policy, q_model, task=NANO, settings=settings)
        solutions = chain.batch([problem.question for problem in problems])
        right = [
            solution.answer is not None and NANO.equivalent(solution.answer, str(problem.answer))
            for solution, problem in zip(solutions, problems, strict=True)
        ]
        shares[f"search_right_{name}"] = sum(right) / len(right)
    return shares


def _put(trained: Trained, folder: Path, recipe: HeadRecipe) -> None:
    """Copy a head beside the weights it belongs to, which a hash of them says."""
    config: dict[str, Any] = json.loads((trained.folder / CONFIG_FILE).read_text("utf-8"))
    del config["policy"]
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    config |= {"model_sha256": digest, "recipe": vars(recipe)}
    copyfile(trained.folder / WEIGHTS_FILE, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _tell(progress: Progress) -> None:
    sys.stderr.write(f"\rrollouts of {progress.done} of {progress.total} problems ")
    sys.stderr.flush()


def _tell_epoch(epoch: float, error: float) -> None:
    sys.stderr.write(f"\repoch {epoch:g}, held-out error {error:.4f}       ")
    sys.stderr.flush()


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of the policy")
    parser.add_argument("--layers", type=int, nargs="+", default=(), help="hidden layers to read")
    parser.add_argument(
        "--check", type=int, default=0, help="search so many development problems with and without"
    )
    for name, value in vars(HeadRecipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args(arguments))
    folder, layers, check = (options.pop(name) for name in ("model", "layers", "check"))
    figures = make_head(folder, HeadRecipe(**options), layers).figures
    if check:
        figures = figures | search_shares(folder, make_problems("dev", check))
    sys.stderr.write("\n")
    for name, value in figures.items():
        sys.stdout.write(f"{name}: {value:.4f}\n")


if __name__ == "__main__":
    main()
