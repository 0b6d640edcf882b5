"""How a Q-value model is trained: one frozen object, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from langchain_qstar.errors import SettingsError

Kind = Literal["mlp", "linear", "lora", "model"]
Target = Literal["best", "mean", "fitted-q"]
LossName = Literal["balanced", "cross-entropy", "regression", "pairwise"]


@dataclass(frozen=True)
class ValueRecipe:
    """Settings of a training.

    Attributes:
        kind: `mlp` or `linear`, a head on the policy's own hidden states; `lora`, the
            policy with an adapter and a head; `model`, another model, trained whole.
        target: `best` (Q*'s rollout label), `mean` (the share of right rollouts), or
            `fitted-q` (fitted Q-iteration over the steps that were sampled).
        loss: `balanced` (cross-entropy in which right and wrong of a question weigh the
            same, and the pairs of it), `cross-entropy`, `regression` (the paper's squared
            error) or `pairwise`.
        gamma: Discount, of `fitted-q` alone.
        iterations: Of `fitted-q`; a reward needs one for each step it travels.
        hidden: Size of the hidden layer of `mlp`.
        dropout: Of the head.
        layers: Hidden layers that a head reads; empty for the policy's default.
        rank: Of the LoRA.
        epochs: At most; training stops when the held-out questions have not been ranked
            better in the middle of their solutions for `patience` of them.
        patience: See `epochs`.
        batch: Problems in a batch.
        learning_rate: 0 for the kind's own: 1e-3 for heads, 1e-3 for a LoRA, 3e-5
            for a model.
        weight_decay: Of AdamW.
        held_out: Share of the problems that are held out.
        seed: Of splits, weights and batches.

    Raises:
        SettingsError: A value is unknown or out of range.
    """

    kind: Kind = "mlp"
    target: Target = "mean"
    loss: LossName = "balanced"
    gamma: float = 1.0
    iterations: int = 8
    hidden: int = 96
    dropout: float = 0.2
    layers: tuple[int, ...] = ()
    rank: int = 8
    epochs: int = 40
    patience: int = 6
    batch: int = 8
    learning_rate: float = 0.0
    weight_decay: float = 0.03
    held_out: float = 0.15
    seed: int = 1

    def __post_init__(self) -> None:
        for name, known in (("kind", Kind), ("target", Target), ("loss", LossName)):
            value = getattr(self, name)
            if value not in get_args(known):
                raise SettingsError(
                    f"{name}={value!r}; choose one of: {', '.join(get_args(known))}"
                )
        for name in ("iterations", "hidden", "rank", "epochs", "patience", "batch"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("gamma", "dropout", "held_out"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must lie in [0, 1]")
        for name in ("learning_rate", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise SettingsError(
                    f"{name} is {getattr(self, name)}; it must be a number from 0 up"
                )

    @property
    def reads_features(self) -> bool:
        """Whether it is a head on the policy's own hidden states."""
        return self.kind in ("mlp", "linear")

    @property
    def shifted(self) -> bool:
        """Whether the loss leaves open what a logit of zero means; calibration has to tell."""
        return self.loss in ("pairwise", "balanced")

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.learning_rate or (3e-5 if self.kind == "model" else 1e-3)
