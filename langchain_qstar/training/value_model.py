"""`qstar train`: a Q-value model from a file of labels, in a folder that loads by its name.

The result is in hub format: safetensors, a JSON description, and a card with the data,
the settings and a calibration plot.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from langchain_qstar.errors import LabelError, MissingExtraError, SettingsError
from langchain_qstar.protocols import Policy, Task
from langchain_qstar.scoring.identity import identity_of
from langchain_qstar.scoring.recalibration import Logistic, fit_logistic
from langchain_qstar.training.examples import ESTIMATES, FITTED_Q, Example, divided
from langchain_qstar.training.held_out import HeldOut
from langchain_qstar.training.label_file import LabelFile, check_policy
from langchain_qstar.training.ranking import fitness, middle_auc, ranking_figures
from langchain_qstar.training.recipe import ValueRecipe

try:
    import torch
    from safetensors.torch import save_file
    from torch import Tensor

    from langchain_qstar.scoring.q_head import CONFIG_FILE, WEIGHTS_FILE
    from langchain_qstar.training.fitting import Told, fit, logits_of
    from langchain_qstar.training.learners import Learner, learner_of
    from langchain_qstar.training.value_card import CARD_FILE, write_card
    from langchain_qstar.training.value_network import Batch, ValueHead, ValueNetwork
except ImportError as error:
    if (error.name or "").startswith("langchain_qstar"):
        raise
    raise MissingExtraError(error.name or "torch", "train") from error

Reading: TypeAlias = Callable[[int, int], None]

FEATURES: Final = "features"
"""Where a training keeps the hidden states that it read."""

_FEWEST: Final = 2
"""Mixed questions of which one can be learnt from and one held out."""

_FEW_MIXED: Final = 30
"""Mixed questions below which a training is told to be hardly worth it."""

SETTINGS_FILE: Final = "training.json"
"""What a folder is being trained with, so that another training does not continue it."""


@dataclass(frozen=True)
class Trained:
    """A finished training: where it is, and how good it is.

    Attributes:
        folder: Where it is.
        figures: Of the held-out questions; see `HeldOut.figures` and `ranking_figures`.
        fits: What it is good for, in a sentence.
        notes: What is to be known about it, such as that it learnt from few questions.
    """

    folder: Path
    figures: dict[str, float]
    fits: str = ""
    notes: tuple[str, ...] = ()


def train_value_model(
    labels: LabelFile,
    policy: Policy,
    task: Task,
    out: Path,
    recipe: ValueRecipe | None = None,
    *,
    base: str | None = None,
    features: Path | None = None,
    told: Told | None = None,
    reading: Reading | None = None,
) -> Trained:
    """Train, calibrate on held-out problems, and save.

    The same call again continues a training that was interrupted, and gives one that was
    finished as it is.

    Args:
        labels: Made with this policy and task.
        policy: Whose steps will be scored.
        task: How its questions are prompted.
        out: The folder, new or interrupted.
        recipe: How.
        base: For `lora` the policy as a string, for `model` the other model: `nano`,
            `hf:ORG/NAME` or a folder.
        features: Where the hidden states that a head reads are kept, for other trainings on
            the same labels too; a folder in `out` by default.
        told: Hears of every epoch.
        reading: Hears how many questions the models have read, and of how many.

    Returns:
        Where it is, and its figures on held-out problems.

    Raises:
        LabelError: The labels belong to another policy, task or prompts, are too few, or
            teach nothing: hardly a question has right and wrong rollouts.
        SettingsError: `out` holds a training with other settings, or `base` is missing.
        ModelSpecError: The policy gives no hidden states, or `base` cannot be loaded.
        ModelError: The loss is not finite; earlier checkpoints are kept.
    """
    recipe = recipe or ValueRecipe()
    identity = identity_of(policy)
    check_policy(labels, identity)
    if labels.header.get("task") != task.name:
        raise LabelError(f"the labels are of the task {labels.header.get('task')}, not {task.name}")
    if labels.header.get("prompts", "") != task.prompts:
        raise LabelError(
            f"the labels were made with the prompts {labels.header.get('prompts')!r}, not "
            f"{task.prompts!r}; give the same prompts and shots"
        )
    examples = [each for each in (Example(q, task) for q in labels.questions) if each.rows]
    if len(examples) < _FEWEST:
        raise LabelError(f"{len(examples)} labelled questions are too few to train and hold out")
    notes = _check_mixed(labels, examples)
    kept = (features or out / FEATURES) if recipe.reads_features else None
    learner = learner_of(policy, recipe, base, features=kept, identity=identity)
    _claim(out, recipe, base, labels)
    made_of = {
        "policy": identity,
        "labels": {k: v for k, v in labels.header.items() if k != "policy"},
        "recipe": asdict(recipe),
    }
    if (finished := _finished(out, made_of)) is not None:
        return finished
    train, held = divided(examples, recipe.held_out, recipe.seed)
    read = [learner.read(each) for each in _counted([*train, *held], reading)]
    if not learner.choose_numeric(read):
        notes.append(
            f"{policy.name} gives no log-probabilities, so the model is trained without them"
        )
    items = [learner.item(each) for each in read]
    train, held = read[: len(train)], read[len(train) :]
    data = _Data(train, held, items[: len(train)], items[len(train) :])
    network, targets = _fitted(learner, data, out, told)
    logits = logits_of(network, data.held_items, learner.collate)
    calibration = _calibrated(logits, targets, recipe)
    values = [_values(each, calibration) for each in logits]
    measured = HeldOut(held, values, targets)
    figures = {
        **measured.figures(),
        **ranking_figures(held, values),
        "prefixes": float(sum(len(each.rows) for each in train)),
        "mixed_problems": float(labels.mixed),
    }
    config = {
        **learner.description(),
        **made_of,
        "figures": figures,
        "fits": fitness(figures),
        "notes": notes,
    }
    learner.save(network, out)
    _save_head(network.head, calibration, config, out)
    write_card(out, config, measured.curve())
    return _trained_as(out, config)


def _counted(examples: Sequence[Example], reading: Reading | None) -> Iterator[Example]:
    """The examples, telling how many were read before each and at the end."""
    for number, each in enumerate(examples):
        if reading:
            reading(number, len(examples))
        yield each
    if reading:
        reading(len(examples), len(examples))


def _trained_as(out: Path, config: Mapping[str, Any]) -> Trained:
    return Trained(out, config["figures"], config.get("fits", ""), tuple(config.get("notes", ())))


def _check_mixed(labels: LabelFile, examples: Sequence[Example]) -> list[str]:
    """Refuse labels that teach nothing; what is to be said of those that teach little."""
    _check_both(labels)
    mixed = sum(each.mixed for each in examples)
    if mixed < _FEWEST:
        raise LabelError(
            f"of {len(examples)} labelled questions {mixed} had right and wrong rollouts, too few "
            "to learn what tells them apart; label more questions, or more samples of each"
        )
    if mixed >= _FEW_MIXED:
        return []
    few = f"only {mixed} questions have right and wrong rollouts"
    return [f"{few}; below {_FEW_MIXED} a model hardly learns to tell them apart"]


def _check_both(labels: LabelFile) -> None:
    """Refuse labels that all say the same, from which nothing can be learnt."""
    for sort, found, what in (
        ("right", labels.ever_right, "look at the gold answers, the task and the policy"),
        ("wrong", labels.ever_wrong, "label harder questions"),
    ):
        if not found:
            raise LabelError(
                f"no rollout in the labels was {sort}, so there is nothing to learn; {what}"
            )


def _finished(out: Path, made_of: Mapping[str, Any]) -> Trained | None:
    """What `out` holds, if the card, which is written last, says that it is whole."""
    if not (out / CARD_FILE).exists():
        return None
    try:
        config = json.loads((out / CONFIG_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None  # damaged since: written anew from the last checkpoint
    same = all(config.get(key) == json.loads(json.dumps(each)) for key, each in made_of.items())
    return _trained_as(out, config) if same else None


def _claim(out: Path, recipe: ValueRecipe, base: str | None, labels: LabelFile) -> None:
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


@dataclass(frozen=True)
class _Data:
    train: list[Example]
    held: list[Example]
    train_items: list[Batch]
    held_items: list[Batch]

    def aimed(self, targets: Sequence[Sequence[float]]) -> tuple[list[Batch], list[Batch]]:
        """The items with their targets, first those of `train`."""
        items = [
            {**item, "targets": torch.tensor(each, dtype=torch.float32)}
            for item, each in zip([*self.train_items, *self.held_items], targets, strict=True)
        ]
        return items[: len(self.train)], items[len(self.train) :]


def _fitted(
    learner: Learner, data: _Data, out: Path, told: Told | None
) -> tuple[ValueNetwork, list[list[float]]]:
    """The trained network, and the targets of the held-out problems."""
    recipe, examples = learner.recipe, [*data.train, *data.held]
    if recipe.target != FITTED_Q:
        targets = [each.estimated(ESTIMATES[recipe.target]) for each in examples]
        return _trained(learner, data, targets, out, told), targets[len(data.train) :]
    values = [[0.0] * len(each.rows) for each in examples]
    for number in range(recipe.iterations):
        pairs = zip(examples, values, strict=True)
        targets = [each.fitted_q(before, recipe.gamma) for each, before in pairs]
        place = out / f"iteration-{number}"
        network = _trained(learner, data, targets, place, told)
        logits = logits_of(network, [*data.train_items, *data.held_items], learner.collate)
        values = [torch.sigmoid(each).tolist() for each in logits]
    # What a value should have been is the outcome, however it was fitted.
    return network, [each.estimated(ESTIMATES["best"]) for each in data.held]


def _trained(
    learner: Learner,
    data: _Data,
    targets: Sequence[Sequence[float]],
    folder: Path,
    told: Told | None,
) -> ValueNetwork:
    recipe = learner.recipe
    torch.manual_seed(recipe.seed)
    train, held = data.aimed(targets)
    network = learner.network(train)
    # The first labels of fitted-q say nothing about the middle of a solution.
    ranked = recipe.target != FITTED_Q
    fit(
        network,
        train,
        held,
        collate=learner.collate,
        recipe=recipe,
        folder=folder,
        rank=(lambda logits: middle_auc(data.held, [each.tolist() for each in logits]))
        if ranked
        else None,
        told=told,
    )
    return network


def _calibrated(
    logits: Sequence[Tensor], targets: Sequence[Sequence[float]], recipe: ValueRecipe
) -> Logistic:
    """The temperature of least held-out error, every problem weighing the same.

    Some losses leave the zero of the logits open: then an intercept too.
    """
    weights = [1 / len(each) for each in targets for _ in each]
    flat = [target for each in targets for target in each]
    return fit_logistic(torch.cat(list(logits)).numpy(), flat, weights, intercept=recipe.shifted)


def _values(logits: Tensor, calibration: Logistic) -> list[float]:
    values: list[float] = torch.sigmoid(logits * calibration.slope + calibration.intercept).tolist()
    return values


def _save_head(head: ValueHead, calibration: Logistic, config: dict[str, Any], out: Path) -> None:
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
