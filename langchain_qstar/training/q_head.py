"""Train the Q-value head of a local policy on labels from its own rollouts.

`python -m langchain_qstar.training.q_head --model FOLDER` samples solutions of
fresh training problems, labels every prefix by the return of the rollouts that
pass through it, fits a small network on the policy's hidden states and
log-probabilities, and writes it beside the model.

Labels come from rollouts and final answers alone, never from the generator's
knowledge of steps (Q*, section 3.2, "learning from rollouts"; algorithms.md 1.5,
construction 2). The loss is binary cross-entropy, not the paper's squared error:
labels are 0 or 1 and the output is read as a probability.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save_file

from langchain_qstar.baselines.pools import Pool, draw_pools, prefixes
from langchain_qstar.models.transformers import TransformersPolicy
from langchain_qstar.problems.generator import Problem, make_problem
from langchain_qstar.protocols import ScoreRequest, Task
from langchain_qstar.scoring.calibration import calibration_error, within_group_auc
from langchain_qstar.scoring.features import NUMERIC_FEATURES, step_features
from langchain_qstar.scoring.q_head import CONFIG_FILE, WEIGHTS_FILE
from langchain_qstar.tasks import NANO

FIRST_SEED: Final = 2**48
"""Problem seeds from here up are never drawn for the policy's own training."""


@dataclass(frozen=True)
class HeadRecipe:
    """How a head is made."""

    problems: int = 1000
    samples: int = 8
    temperature: float = 0.8
    label: str = "best"
    """`best` or `mean`: see `best_return` and `mean_return`."""
    hidden: int = 96
    epochs: int = 40
    learning_rate: float = 1e-3
    weight_decay: float = 0.03
    dropout: float = 0.2
    held_out: float = 0.15
    seed: int = 1


@dataclass
class Labels:
    """One row per distinct prefix of the sampled solutions.

    Attributes:
        features: float32 [n, d].
        returns: For each row, the returns (0 or 1) of the rollouts through it.
        problem: int64 [n], which problem a row belongs to.
        solutions: (problem, rows of its steps, whether it was right) of every
            sampled solution.
    """

    features: np.ndarray[Any, np.dtype[np.float32]]
    returns: list[list[float]]
    problem: np.ndarray[Any, np.dtype[np.int64]]
    solutions: list[tuple[int, list[int], bool]]


def best_return(returns: Sequence[float]) -> float:
    """The label of a prefix: the maximum over the pool of rollouts through it.

    Source: Q*, section 3.2; conformance statement 22 (one right of ten is 1).
    """
    return max(returns)


def mean_return(returns: Sequence[float]) -> float:
    """The mean over the pool: the chance that the policy goes on to be right."""
    return sum(returns) / len(returns)


_LABELS: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "best": best_return,
    "mean": mean_return,
}


def rollout_problems(recipe: HeadRecipe) -> list[Problem]:
    """Fresh problems of the train split, 2 to 10 steps in equal shares."""
    first = FIRST_SEED + recipe.seed * 10**7
    return [make_problem("train", 2 + n % 9, first + n) for n in range(recipe.problems)]


def collect(
    problems: Sequence[Problem], policy: TransformersPolicy, task: Task, recipe: HeadRecipe
) -> list[Pool]:
    """Sample the rollouts, with progress on standard error."""

    def progress(done: int) -> None:
        sys.stderr.write(f"\rrollouts of {done} of {recipe.problems} problems ")
        sys.stderr.flush()

    return draw_pools(
        [problem.question for problem in problems],
        policy,
        task,
        n=recipe.samples,
        temperature=recipe.temperature,
        seed=recipe.seed,
        progress=progress,
    )


def label(
    pools: Sequence[Pool], golds: Sequence[str], policy: TransformersPolicy, task: Task
) -> Labels:
    """Merge equal prefixes of a problem, and gather features and returns of each."""
    blocks: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    returns: list[list[float]] = []
    owners: list[int] = []
    solutions: list[tuple[int, list[int], bool]] = []
    for number, (pool, gold) in enumerate(zip(pools, golds, strict=True)):
        rows: dict[str, int] = {}
        unique: list[ScoreRequest] = []
        passing: dict[str, list[float]] = defaultdict(list)
        right = pool.right(gold, task)
        for requests, is_right in zip(prefixes(pool, task), right, strict=True):
            keys = [r.state.then(r.steps[0]).text for r in requests]
            for key, request in zip(keys, requests, strict=True):
                passing[key].append(float(is_right))
                if key not in rows:
                    rows[key] = len(returns) + len(rows)
                    unique.append(request)
            if keys:
                solutions.append((number, [rows[key] for key in keys], is_right))
        blocks.append(features(policy, unique))
        returns += [passing[key] for key in rows]
        owners += [number] * len(rows)
    return Labels(np.concatenate(blocks), returns, np.array(owners, dtype=np.int64), solutions)


def features(
    policy: TransformersPolicy, requests: Sequence[ScoreRequest]
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What the head reads of one-step requests: float32 [n, hidden + numeric]."""
    hidden = policy.features([r.state.then(r.steps[0]) for r in requests])
    numeric = np.array([step_features(r.state, r.steps[0]) for r in requests], dtype=np.float32)
    return np.concatenate([hidden, numeric], axis=1)


class HeadNetwork(torch.nn.Module):
    """Standardise, one hidden layer with GELU, one logit; as `scoring.q_head` reads it."""

    def __init__(self, mean: torch.Tensor, std: torch.Tensor, recipe: HeadRecipe) -> None:
        """Make a fresh head for inputs with this mean and deviation, each [d]."""
        super().__init__()
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.inner = torch.nn.Linear(len(mean), recipe.hidden)
        self.outer = torch.nn.Linear(recipe.hidden, 1)
        self.dropout = torch.nn.Dropout(recipe.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [n] of inputs [n, d]."""
        x = self.dropout((x - self.mean) / self.std)
        inner = self.dropout(torch.nn.functional.gelu(self.inner(x)))
        logits: torch.Tensor = self.outer(inner)[:, 0]
        return logits


@dataclass
class Fit:
    """A trained head with its held-out figures."""

    network: HeadNetwork
    temperature: float
    figures: dict[str, float]


def fit(labels: Labels, recipe: HeadRecipe) -> Fit:
    """Train with early stopping on held-out problems, then calibrate there."""
    torch.manual_seed(recipe.seed)
    x = torch.from_numpy(labels.features)
    target = _LABELS[recipe.label]
    y = torch.tensor([target(returns) for returns in labels.returns], dtype=torch.float32)
    held = _held_out(labels, recipe)
    train = ~held
    std = x[train].std(dim=0).clamp_min(1e-4)
    network = HeadNetwork(x[train].mean(dim=0), std, recipe)
    weight = _problem_weights(labels.problem)
    best, best_state = float("inf"), network.state_dict()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    patience = 6
    for _ in range(recipe.epochs):
        _epoch(network, optimizer, x[train], y[train], weight[train])
        error = _error(network, x[held], y[held], weight[held])
        if error < best:
            best, patience = error, 6
            best_state = {k: v.clone() for k, v in network.state_dict().items()}
        else:
            patience -= 1
        if not patience:
            break
    network.load_state_dict(best_state)
    network.eval()
    with torch.inference_mode():
        logits = network(x)
    temperature = _calibrate(logits[held], y[held], weight[held])
    return Fit(network, temperature, _figures(labels, logits / temperature, held, y))


def _held_out(labels: Labels, recipe: HeadRecipe) -> torch.Tensor:
    problems = sorted(set(labels.problem.tolist()))
    random.Random(recipe.seed).shuffle(problems)
    chosen = problems[: int(recipe.held_out * len(problems))]
    return torch.from_numpy(np.isin(labels.problem, chosen))


def _problem_weights(problem: np.ndarray[Any, np.dtype[np.int64]]) -> torch.Tensor:
    """Every problem weighs the same, however many prefixes it has."""
    counts = np.bincount(problem)
    return torch.from_numpy((1.0 / counts[problem]).astype(np.float32)) * float(counts.mean())


def _weighted_error(logits: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
    return (loss * weight).mean()


def _epoch(
    network: HeadNetwork,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    weight: torch.Tensor,
) -> None:
    network.train()
    for rows in torch.split(torch.randperm(len(x)), 512):
        loss = _weighted_error(network(x[rows]), y[rows], weight[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _error(network: HeadNetwork, x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> float:
    network.eval()
    with torch.inference_mode():
        return float(_weighted_error(network(x), y, weight))


def _calibrate(logits: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> float:
    """The temperature with the least held-out error."""
    choices = np.geomspace(0.3, 4.0, 80)
    errors = [float(_weighted_error(logits / float(t), y, weight)) for t in choices]
    return float(choices[int(np.argmin(errors))])


def _figures(
    labels: Labels, logits: torch.Tensor, held: torch.Tensor, y: torch.Tensor
) -> dict[str, float]:
    values = torch.sigmoid(logits).tolist()
    mean_logprob = labels.features[
        :, -len(NUMERIC_FEATURES) + NUMERIC_FEATURES.index("path_mean_logprob")
    ]
    held_rows = held.numpy()
    solutions = [s for s in labels.solutions if held_rows[s[1][0]]]
    auc = {
        "min": lambda rows: min(values[r] for r in rows),
        "last": lambda rows: values[rows[-1]],
        "logprob": lambda rows: float(mean_logprob[rows[-1]]),
    }
    figures = {
        f"within_problem_auc_{name}": _solution_auc(solutions, score) for name, score in auc.items()
    }
    figures["held_out_problems"] = float(len({s[0] for s in solutions}))
    figures["prefixes"] = float(len(values))
    figures["ece"] = calibration_error(np.array(values)[held_rows], y.numpy()[held_rows])
    return figures


def _solution_auc(
    solutions: Sequence[tuple[int, list[int], bool]], score: Callable[[list[int]], float]
) -> float:
    grouped: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for problem, rows, right in solutions:
        grouped[problem].append((score(rows), right))
    groups = list(grouped.values())
    return within_group_auc(
        [[s for s, _ in g] for g in groups], [[t for _, t in g] for g in groups]
    )


def save(trained: Fit, folder: Path, layers: Sequence[int], recipe: HeadRecipe) -> None:
    """Write the two files `scoring.q_head` reads."""
    state = trained.network.state_dict()
    names = {
        "mean": "mean",
        "std": "std",
        "w1": "inner.weight",
        "b1": "inner.bias",
        "w2": "outer.weight",
        "b2": "outer.bias",
    }
    tensors = {name: state[key].contiguous() for name, key in names.items()}
    save_file(
        {**tensors, "temperature": torch.tensor([trained.temperature])}, folder / WEIGHTS_FILE
    )
    hidden = (len(state["mean"]) - len(NUMERIC_FEATURES)) // len(layers)
    weights = folder / "model.safetensors"
    config = {
        "layers": list(layers),
        "hidden_size": hidden,
        "numeric": list(NUMERIC_FEATURES),
        "model_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "recipe": asdict(recipe),
        "figures": {name: round(value, 4) for name, value in trained.figures.items()},
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of the policy")
    parser.add_argument("--layers", type=int, nargs="+", default=None, help="hidden layers to read")
    for name, value in asdict(HeadRecipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args(arguments))
    folder, layers = options.pop("model"), options.pop("layers")
    recipe = HeadRecipe(**options)
    policy = TransformersPolicy.from_pretrained(folder)
    policy.feature_layers = tuple(layers or policy.feature_layers)
    problems = rollout_problems(recipe)
    pools = collect(problems, policy, NANO, recipe)
    golds = [str(problem.answer) for problem in problems]
    trained = fit(label(pools, golds, policy, NANO), recipe)
    save(trained, folder, policy.feature_layers, recipe)
    sys.stderr.write("\n")
    for name, value in trained.figures.items():
        sys.stdout.write(f"{name}: {value:.4f}\n")


if __name__ == "__main__":
    main()
