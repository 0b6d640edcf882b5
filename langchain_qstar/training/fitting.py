"""Training a value network with transformers' `Trainer`: no loop of our own.

An item is a problem, so that a batch holds whole problems and a pair of steps to be
compared is always in one batch. A checkpoint is kept every epoch; the best of them, by
how it ranks held-out problems, or by its error on them, is the result.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any, Final, cast

from langchain_qstar.errors import MissingExtraError, ModelError
from langchain_qstar.training.recipe import ValueRecipe

try:
    import accelerate  # noqa: F401  # Trainer needs it, and says so in many lines
    import torch
    from torch import Tensor
    from transformers import (
        EarlyStoppingCallback,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )
    from transformers.trainer import TRAINER_STATE_NAME
    from transformers.utils import logging as transformers_logging
except ImportError as error:
    raise MissingExtraError(error.name or "accelerate", "train") from error

from langchain_qstar.training.value_network import Batch, ValueNetwork

CHECKPOINTS: Final = "checkpoints"
Collate = Callable[[Sequence[Batch]], Batch]
Told = Callable[[float, float], None]
"""Called after an epoch with its number and the held-out error."""


Rank = Callable[[Sequence[Tensor]], float]
"""From the logits of the held-out problems to how well they are ranked, in [0, 1] or NaN."""

_TIE: Final = 1e-3
"""What a unit of held-out error counts where two epochs rank alike."""

RANKING: Final = "ranking"


class _CheckedTrainer(Trainer):
    """Stops at a loss that is no number, before it reaches the weights; judges by a ranking."""

    rank: Rank | None = None

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """The held-out error, and how well the held-out problems are ranked."""
        output: Any = super().evaluation_loop(*args, **kwargs)
        if self.rank is not None:
            network, items, collate = cast(
                "Any", (self.model, self.eval_dataset, self.data_collator)
            )
            found = self.rank(logits_of(network, items, collate))
            loss = output.metrics["eval_loss"]
            # Where there is nothing to rank, the error alone decides.
            output.metrics[f"eval_{RANKING}"] = (0.0 if math.isnan(found) else found) - _TIE * loss
        return output

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """The loss of a batch, checked."""
        found = super().compute_loss(*args, **kwargs)
        loss = found[0] if isinstance(found, tuple) else found
        if not torch.isfinite(loss):
            raise ModelError(
                f"the loss became {float(loss.detach())} at step {self.state.global_step}; "
                "lower the learning rate and start again "
                f"(the last good checkpoint is in {self.args.output_dir})"
            )
        return found


class _Teller(TrainerCallback):
    def __init__(self, told: Told) -> None:
        self._told = told

    def on_evaluate(self, args: Any, state: Any, *_: Any, **kwargs: Any) -> None:
        del args
        self._told(state.epoch or 0.0, kwargs["metrics"].get("eval_loss", math.nan))


def fit(
    network: ValueNetwork,
    train: Sequence[Batch],
    held: Sequence[Batch],
    *,
    collate: Collate,
    recipe: ValueRecipe,
    folder: Path,
    rank: Rank | None = None,
    told: Told | None = None,
) -> None:
    """Train `network` in place; at the end it has the weights of the best epoch.

    Args:
        network: What is trained.
        train: Problems to learn from.
        held: Problems that decide when to stop.
        collate: Makes a batch of problems.
        recipe: How.
        folder: Checkpoints are kept in its `checkpoints`; a training that was
            interrupted there is continued.
        rank: Decides when to stop and which epoch was best; by default the held-out error.
        told: Hears of every epoch.

    Raises:
        ModelError: The loss is not finite. Checkpoints before that are kept.
    """
    place = folder / CHECKPOINTS
    place.mkdir(parents=True, exist_ok=True)
    callbacks: list[TrainerCallback] = [EarlyStoppingCallback(recipe.patience)]
    trainer = _CheckedTrainer(
        model=network,
        args=_arguments(recipe, place, ranked=rank is not None),
        data_collator=collate,
        train_dataset=list(train),
        eval_dataset=list(held),
        callbacks=[*callbacks, *([_Teller(told)] if told else [])],
    )
    trainer.rank = rank
    trainer.remove_callback(PrinterCallback)  # standard output is for results
    with _quiet():
        trainer.train(resume_from_checkpoint=_last_checkpoint(place))
    network.eval()


def _last_checkpoint(place: Path) -> str | None:
    """The last checkpoint that is whole; later ones, torn by a kill, are removed.

    `Trainer` writes the state of the training after everything else.
    """
    found = sorted(place.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in reversed(found):
        try:
            json.loads((path / TRAINER_STATE_NAME).read_text("utf-8"))
        except (OSError, ValueError):
            rmtree(path)
        else:
            return str(path)
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Standard error belongs to our own progress."""
    told: Any = transformers_logging
    verbosity = told.get_verbosity()
    told.set_verbosity_error()
    try:
        yield
    finally:
        told.set_verbosity(verbosity)


def _arguments(recipe: ValueRecipe, place: Path, *, ranked: bool) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(place),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=recipe.batch,
        learning_rate=recipe.rate,
        weight_decay=recipe.weight_decay,
        lr_scheduler_type="constant",
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="no",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{RANKING}" if ranked else "eval_loss",
        greater_is_better=ranked,
        prediction_loss_only=True,
        label_names=["targets"],
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        report_to=[],
        disable_tqdm=True,
        seed=recipe.seed,
    )


def logits_of(
    network: ValueNetwork, items: Sequence[Batch], collate: Collate, batch: int = 16
) -> list[Tensor]:
    """The logits [n] of every problem, in order."""
    network.eval()
    device = next(network.parameters()).device
    found: list[Tensor] = []
    for start in range(0, len(items), batch):
        group = items[start : start + batch]
        inputs = {name: value.to(device) for name, value in collate(group).items()}
        sizes = [len(item["targets"]) for item in group]
        inputs = {k: v for k, v in inputs.items() if k not in ("targets", "problem")}
        with torch.inference_mode():
            found += torch.split(network.logits(**inputs).cpu(), sizes)
    return found
