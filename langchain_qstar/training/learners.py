"""What a value network reads: the policy's features, or tokens for a model of its own."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from langchain_qstar.errors import MissingExtraError, ModelSpecError, SettingsError
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.protocols import Policy, ScoreRequest, State, Step
from langchain_qstar.scoring.features import NUMERIC_FEATURES, step_features
from langchain_qstar.scoring.identity import ReadingPolicy
from langchain_qstar.scoring.q_head import HiddenStatePolicy
from langchain_qstar.scoring.trained import LORA, MODEL, load_causal_model
from langchain_qstar.training.examples import Example
from langchain_qstar.training.fitting import Collate
from langchain_qstar.training.losses import LOSSES
from langchain_qstar.training.recipe import ValueRecipe
from langchain_qstar.training.value_network import (
    Batch,
    ValueHead,
    ValueNetwork,
    feature_batch,
    token_batch,
)

_CONSTANT: Final = 1e-4
"""Deviation below which an input counts as constant."""

_READ_TOGETHER: Final = 512
"""States whose hidden states are read by one call."""


class Learner(ABC):
    """What differs between kinds: inputs, network, and what is saved below the head."""

    collate: Collate

    def __init__(self, recipe: ValueRecipe) -> None:
        """Learn by `recipe`."""
        self.recipe = recipe

    @abstractmethod
    def item(self, example: Example) -> Batch:
        """The inputs of one problem, with zeros for targets."""

    @abstractmethod
    def network(self, train: Sequence[Batch]) -> ValueNetwork:
        """A fresh one."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """What `q_head.json` says about the inputs of the head."""

    def save(self, network: ValueNetwork, out: Path) -> None:  # noqa: B027 - a head has nothing
        """Save what is below the head, if it was trained."""


class FeatureLearner(Learner):
    """A head on the policy's hidden states and log-probabilities."""

    collate = staticmethod(feature_batch)

    def __init__(self, policy: HiddenStatePolicy, recipe: ValueRecipe) -> None:
        """Read the features of `policy`, from the recipe's layers."""
        super().__init__(recipe)
        self._policy = policy
        policy.feature_layers = recipe.layers or policy.feature_layers
        self._layers = tuple(policy.feature_layers)

    def item(self, example: Example) -> Batch:
        """Its `features` [n, d]."""
        requests = example.requests
        hidden = [
            self._policy.features(_after(requests[start : start + _READ_TOGETHER]))
            for start in range(0, len(requests), _READ_TOGETHER)
        ]
        numeric = np.array([step_features(r.state, r.steps[0]) for r in requests], dtype=np.float32)
        features = np.concatenate([np.concatenate(hidden), numeric], axis=1)
        return {"features": torch.from_numpy(features), "targets": torch.zeros(len(requests))}

    def network(self, train: Sequence[Batch]) -> ValueNetwork:
        """A fresh head, standardising as the training problems ask for."""
        x = torch.cat([item["features"] for item in train])
        hidden = self.recipe.hidden if self.recipe.kind == "mlp" else 0
        deviation = x.std(dim=0)
        # What never varied says nothing; it must not explode when it varies in use.
        deviation[deviation < _CONSTANT] = 1.0
        head = ValueHead(x.mean(dim=0), deviation, hidden=hidden, dropout=self.recipe.dropout)
        self._width = x.shape[1] - len(NUMERIC_FEATURES)
        return ValueNetwork(head, LOSSES[self.recipe.loss])

    def description(self) -> dict[str, Any]:
        """Layers and numeric features."""
        return {
            "layers": list(self._layers),
            "hidden_size": self._width // len(self._layers),
            "numeric": list(NUMERIC_FEATURES),
        }


class TokenLearner(Learner):
    """A language model of its own below a linear head: a LoRA, or a whole model."""

    collate = staticmethod(token_batch)

    def __init__(self, reader: ReadingPolicy, recipe: ValueRecipe, base: str) -> None:
        """Train `base` on tokens as `reader`, the same model, makes them."""
        super().__init__(recipe)
        self._reader = reader
        self._base = base
        self._tokenizer: Any = None
        self._size = (0, 0)

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
            "targets": torch.zeros(len(ids)),
        }

    def network(self, train: Sequence[Batch]) -> ValueNetwork:
        """The base model, whole or with a fresh adapter, below a fresh head."""
        del train
        model, self._tokenizer = load_causal_model(self._base)
        config = model.config.get_text_config()
        self._size = (int(config.num_hidden_layers), int(config.hidden_size))
        if self.recipe.kind == LORA:
            model = _with_adapter(model, self.recipe.rank)
        size = self._size[1]
        head = ValueHead(torch.zeros(size), torch.ones(size), hidden=0, dropout=0.0)
        return ValueNetwork(head, LOSSES[self.recipe.loss], model)

    def description(self) -> dict[str, Any]:
        """The last layer, and what it is the last layer of."""
        backbone: dict[str, str] = {"kind": self.recipe.kind}
        if self.recipe.kind == LORA:
            backbone["base"] = self._base
        return {
            "layers": [self._size[0]],
            "hidden_size": self._size[1],
            "numeric": [],
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


def learner_of(policy: Policy, recipe: ValueRecipe, base: str | None) -> Learner:
    """The learner of the recipe's kind.

    Raises:
        ModelSpecError: The policy does not show what the kind reads.
        SettingsError: The kind needs a base and there is none.
    """
    if recipe.reads_features:
        if not isinstance(policy, HiddenStatePolicy):
            raise ModelSpecError(
                f"{policy.name} gives no hidden states; train kind='model' on a local model"
            )
        return FeatureLearner(policy, recipe)
    if base is None:
        raise SettingsError(f"kind={recipe.kind!r} needs a base: nano, hf:ORG/NAME or a folder")
    reader = resolve_policy(base) if recipe.kind == MODEL else policy
    if not isinstance(reader, ReadingPolicy):
        raise ModelSpecError(f"{reader.name} shows no token ids; train on a local model")
    return TokenLearner(reader, recipe, base)


def _with_adapter(model: Any, rank: int) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise MissingExtraError("peft", "train") from None
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear")
    return get_peft_model(model, config)


def _after(requests: Sequence[ScoreRequest]) -> list[State]:
    return [request.state.then(request.steps[0]) for request in requests]


def _texts_only(state: State) -> State:
    return State(state.question, state.messages, tuple(Step(step.text) for step in state.steps))
