"""What a value network reads: the policy's features, or tokens for a model of its own."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from langchain_qstar.errors import MissingExtraError, ModelSpecError, SettingsError
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.protocols import Policy, State, Step
from langchain_qstar.scoring.features import LOGPROB_FEATURES, NUMERIC_FEATURES, step_features
from langchain_qstar.scoring.identity import ReadingPolicy
from langchain_qstar.scoring.q_head import HiddenStatePolicy
from langchain_qstar.scoring.trained import LORA, MODEL, load_causal_model
from langchain_qstar.training.examples import Example
from langchain_qstar.training.fitting import Collate
from langchain_qstar.training.hidden_states import HiddenStates
from langchain_qstar.training.losses import LOSSES
from langchain_qstar.training.recipe import ValueRecipe
from langchain_qstar.training.rescoring import rescored
from langchain_qstar.training.value_network import (
    Batch,
    ValueHead,
    ValueNetwork,
    feature_batch,
    token_batch,
)

_CONSTANT: Final = 1e-4
"""Deviation below which an input counts as constant."""


class Learner(ABC):
    """What differs between kinds: inputs, network, and what is saved below the head.

    Attributes:
        recipe: How it learns.
        numeric: The numeric features that the head reads; see `choose_numeric`.
    """

    collate: Collate

    def __init__(self, recipe: ValueRecipe) -> None:
        """Learn by `recipe`."""
        self.recipe = recipe
        self.numeric: tuple[str, ...] = NUMERIC_FEATURES

    @abstractmethod
    def read(self, example: Example) -> Example:
        """Have the models read an example, which gets the log-probabilities that it lacks."""

    @abstractmethod
    def item(self, example: Example) -> Batch:
        """The inputs of one problem that was read, with zeros for targets."""

    @abstractmethod
    def network(self, train: Sequence[Batch]) -> ValueNetwork:
        """A fresh one."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """What `q_head.json` says about the inputs of the head."""

    def save(self, network: ValueNetwork, out: Path) -> None:  # noqa: B027 - a head has nothing
        """Save what is below the head, if it was trained."""

    def choose_numeric(self, examples: Sequence[Example]) -> bool:
        """Read log-probabilities where the steps have some; whether they have."""
        known = any(step.logprobs for each in examples for step in each.labelled.steps)
        if not known:
            self.numeric = tuple(n for n in NUMERIC_FEATURES if n not in LOGPROB_FEATURES)
        return known

    def _numbers(self, example: Example) -> Tensor:
        """The chosen numeric features of its rows: float32 [n, features]."""
        columns = [NUMERIC_FEATURES.index(name) for name in self.numeric]
        rows = [step_features(r.state, r.steps[0]) for r in example.requests]
        every = np.array(rows, dtype=np.float32).reshape(len(rows), len(NUMERIC_FEATURES))
        return torch.from_numpy(every[:, columns])


class FeatureLearner(Learner):
    """A head on the policy's hidden states and log-probabilities."""

    collate = staticmethod(feature_batch)

    def __init__(self, states: HiddenStates, recipe: ValueRecipe) -> None:
        """Read hidden states by `states`."""
        super().__init__(recipe)
        self._states = states
        self._hidden: dict[str, Tensor] = {}
        self._width = 0

    def read(self, example: Example) -> Example:
        """Its hidden states, and with them its log-probabilities."""
        whole, hidden = self._states.read(example)
        self._hidden[example.labelled.question] = torch.from_numpy(hidden)
        return whole

    def item(self, example: Example) -> Batch:
        """Its `features` [n, d]."""
        hidden = self._hidden[example.labelled.question]
        features = torch.cat([hidden, self._numbers(example)], dim=1)
        return {"features": features, "targets": torch.zeros(len(features))}

    def network(self, train: Sequence[Batch]) -> ValueNetwork:
        """A fresh head, standardising as the training problems ask for."""
        x = torch.cat([item["features"] for item in train])
        hidden = self.recipe.hidden if self.recipe.kind == "mlp" else 0
        head = ValueHead(*_moments(x), hidden=hidden, dropout=self.recipe.dropout)
        self._width = x.shape[1] - len(self.numeric)
        return ValueNetwork(head, LOSSES[self.recipe.loss])

    def description(self) -> dict[str, Any]:
        """Layers and numeric features."""
        layers = self._states.layers
        return {
            "layers": list(layers),
            "hidden_size": self._width // len(layers),
            "numeric": list(self.numeric),
        }


class TokenLearner(Learner):
    """A language model of its own below a linear head: a LoRA, or a whole model.

    The head reads the log-probabilities of the policy beside the last hidden state.
    """

    collate = staticmethod(token_batch)

    def __init__(
        self, policy: Policy, reader: ReadingPolicy, recipe: ValueRecipe, base: str
    ) -> None:
        """Train `base` on steps of `policy`, on tokens as `reader`, the same model, makes them."""
        super().__init__(recipe)
        self._policy = policy
        self._reader = reader
        self._base = base
        self._tokenizer: Any = None
        self._size = (0, 0)

    def read(self, example: Example) -> Example:
        """Its log-probabilities, where the policy can still give them."""
        return replace(example, labelled=rescored(example.labelled, example.task, self._policy))

    def item(self, example: Example) -> Batch:
        """Every leaf is a sequence; a row is read in the first sequence that holds it."""
        after = [r.state.then(r.steps[0]) for r in example.requests]
        if self.recipe.kind == MODEL:
            after = [_texts_only(state) for state in after]
        ids = [self._reader.path_ids(state) for state in after]
        sequences: list[tuple[int, ...]] = []
        for each in sorted(set(ids), key=len, reverse=True):
            if not any(longer[: len(each)] == each for longer in sequences):
                sequences.append(each)
        places = [next(n for n, s in enumerate(sequences) if s[: len(i)] == i) for i in ids]
        tokens = [torch.tensor(each) for each in sequences]
        return {
            "tokens": torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=-1),
            "sequence": torch.tensor(places),
            "position": torch.tensor([len(each) - 1 for each in ids]),
            "numbers": self._numbers(example),
            "targets": torch.zeros(len(ids)),
        }

    def network(self, train: Sequence[Batch]) -> ValueNetwork:
        """The base model, whole or with a fresh adapter, below a fresh head."""
        model, self._tokenizer = load_causal_model(self._base)
        config = model.config.get_text_config()
        self._size = (int(config.num_hidden_layers), int(config.hidden_size))
        if self.recipe.kind == LORA:
            model = _with_adapter(model, self.recipe.rank)
        size = self._size[1]
        mean, deviation = _moments(torch.cat([item["numbers"] for item in train]))
        head = ValueHead(
            torch.cat([torch.zeros(size), mean]),
            torch.cat([torch.ones(size), deviation]),
            hidden=0,
            dropout=0.0,
        )
        return ValueNetwork(head, LOSSES[self.recipe.loss], model)

    def description(self) -> dict[str, Any]:
        """The last layer, and what it is the last layer of."""
        backbone: dict[str, str] = {"kind": self.recipe.kind}
        if self.recipe.kind == LORA:
            backbone["base"] = self._base
        return {
            "layers": [self._size[0]],
            "hidden_size": self._size[1],
            "numeric": list(self.numeric),
            "backbone": backbone,
        }

    def save(self, network: ValueNetwork, out: Path) -> None:
        """The adapter, or the model with its tokenizer, in hub format."""
        network.backbone.save_pretrained(out)
        if self.recipe.kind == MODEL:
            self._tokenizer.save_pretrained(out)
            return
        path = out / "adapter_config.json"  # the base by its name, not by a path of ours
        config = json.loads(path.read_text("utf-8"))
        config["base_model_name_or_path"] = self._base
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def learner_of(
    policy: Policy,
    recipe: ValueRecipe,
    base: str | None,
    *,
    features: Path | None = None,
    identity: dict[str, Any] | None = None,
) -> Learner:
    """The learner of the recipe's kind.

    Args:
        policy: Whose steps will be scored.
        recipe: How.
        base: The model of a LoRA, or of its own.
        features: Where a head's hidden states are kept; None keeps none.
        identity: Of the policy, for those.

    Raises:
        ModelSpecError: The policy does not show what the kind reads.
        SettingsError: The kind needs a base and there is none.
        LabelError: `features` holds the hidden states of another policy.
    """
    if recipe.reads_features:
        if not isinstance(policy, HiddenStatePolicy):
            raise ModelSpecError(
                f"{policy.name} gives no hidden states; train kind='model' on a local model"
            )
        states = HiddenStates.open(policy, recipe.layers, features, identity or {})
        return FeatureLearner(states, recipe)
    if base is None:
        raise SettingsError(f"kind={recipe.kind!r} needs a base: nano, hf:ORG/NAME or a folder")
    reader = resolve_policy(base) if recipe.kind == MODEL else policy
    if not isinstance(reader, ReadingPolicy):
        raise ModelSpecError(f"{reader.name} shows no token ids; train on a local model")
    return TokenLearner(policy, reader, recipe, base)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of inputs [n, d], each [d]."""
    deviation = x.std(dim=0) if len(x) > 1 else torch.ones(x.shape[1])
    # What never varied says nothing; it must not explode when it varies in use.
    deviation[deviation < _CONSTANT] = 1.0
    return x.mean(dim=0), deviation


def _with_adapter(model: Any, rank: int) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise MissingExtraError("peft", "train") from None
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear")
    return get_peft_model(model, config)


def _texts_only(state: State) -> State:
    return State(state.question, state.messages, tuple(Step(step.text) for step in state.steps))
