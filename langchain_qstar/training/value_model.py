"""`qstar train`: a Q-value model from a file of labels, in a folder that loads by its name.

The result is in hub format: safetensors, a JSON description, and a card with the data,
the settings and a calibration plot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from langchain_qstar.errors import MissingExtraError
from langchain_qstar.protocols import Policy, Task
from langchain_qstar.scoring.identity import identity_of
from langchain_qstar.scoring.recalibration import Logistic, fit_logistic
from langchain_qstar.training.examples import ESTIMATES, FITTED_Q, Example, divided
from langchain_qstar.training.held_out import HeldOut
from langchain_qstar.training.label_checks import check_origin, check_teaching
from langchain_qstar.training.label_file import LabelFile
from langchain_qstar.training.ranking import fitness, middle_auc, ranking_figures
from langchain_qstar.training.recipe import ValueRecipe

try:
    import torch
    from torch import Tensor

    from langchain_qstar.training.fitting import Told, fit, logits_of
    from langchain_qstar.training.learners import Learner, learner_of
    from langchain_qstar.training.training_folder import claim, finished_config, save_head
    from langchain_qstar.training.value_card import write_card
    from langchain_qstar.training.value_network import Batch, ValueNetwork
except ImportError as error:
    if (error.name or "").startswith("langchain_qstar"):
        raise
    raise MissingExtraError(error.name or "torch", "train") from error

Reading: TypeAlias = Callable[[int, int], None]

FEATURES: Final = "features"
"""Where a training keeps the hidden states that it read."""


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
    check_origin(labels, identity, task)
    examples = [each for each in (Example(q, task) for q in labels.questions) if each.rows]
    notes = check_teaching(labels, examples)
    kept = (features or out / FEATURES) if recipe.reads_features else None
    learner = learner_of(policy, recipe, base, features=kept, identity=identity)
    claim(out, recipe, base, labels)
    made_of = {
        "policy": identity,
        "labels": {k: v for k, v in labels.header.items() if k != "policy"},
        "recipe": {**asdict(recipe), "learning_rate": recipe.rate},
    }
    if (finished := finished_config(out, made_of)) is not None:
        return _trained_as(out, finished)
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
    save_head(network.head, calibration, config, out)
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
