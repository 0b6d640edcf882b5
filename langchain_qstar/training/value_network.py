"""The networks that learn Q(state, step), and their batches.

A head reads features that the policy has made already. A backbone reads the tokens
itself: a language model, whole or with a LoRA, below a linear head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from langchain_qstar.training.losses import Loss

Batch = dict[str, Tensor]


class LoadResult(NamedTuple):
    """What torch calls the result of loading."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class ValueHead(nn.Module):
    """Standardise, and a linear map to one logit, with a hidden layer before it or not.

    It is the network that `scoring.q_head` reads.
    """

    def __init__(self, mean: Tensor, std: Tensor, *, hidden: int, dropout: float) -> None:
        """Make a fresh head.

        Args:
            mean: Of the inputs, [d].
            std: Of the inputs, [d], above 0.
            hidden: Size of the hidden layer; 0 for none.
            dropout: Of inputs and hidden layer while training.
        """
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.inner = nn.Linear(len(mean), hidden) if hidden else None
        self.outer = nn.Linear(hidden or len(mean), 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Logits [n] of features [n, d]."""
        x = self.dropout((features - self.mean) / self.std)
        if self.inner is not None:
            x = self.dropout(nn.functional.gelu(self.inner(x)))
        logits: Tensor = self.outer(x)[:, 0]
        return logits


class ValueNetwork(nn.Module):
    """A head, on features or on a backbone of its own, with the loss it is trained by."""

    def __init__(self, head: ValueHead, loss: Loss, backbone: Any = None) -> None:
        """Put them together; `backbone` is a causal language model, or None."""
        super().__init__()
        self.head = head
        self.backbone = backbone
        self._loss = loss

    def forward(self, targets: Tensor, problem: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """Loss and logits of a batch, as transformers' `Trainer` wants them.

        Args:
            targets: [n] in [0, 1].
            problem: Which problem each row belongs to, int64 [n].
            inputs: `features` [n, d]; or `input_ids`, `attention_mask` [sequences,
                tokens], `sequence`, `position` [n], where each row ends, and `numbers`
                [n, features], what else the head reads.
        """
        logits = self.logits(**inputs)
        return {"loss": self._loss(logits, targets, problem), "logits": logits}

    def logits(self, **inputs: Tensor) -> Tensor:
        """Logits [n] of a batch."""
        if self.backbone is None:
            return self.head(inputs["features"])  # type: ignore[no-any-return]
        output = self.backbone(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            output_hidden_states=True,
            use_cache=False,
        )
        hidden = output.hidden_states[-1][inputs["sequence"], inputs["position"]]
        known = torch.cat([hidden.float(), inputs["numbers"]], dim=1)
        return self.head(known)  # type: ignore[no-any-return]

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """What is trained, and the head's buffers: a checkpoint holds nothing else.

        A frozen base model is on disk already, and tied weights would be there twice.
        """
        whole: dict[str, Any] = super().state_dict(*args, **kwargs)
        kept = {name for name, weight in self.named_parameters() if weight.requires_grad}
        kept |= {name for name in whole if name.startswith("head.")}
        return {name: whole[name] for name in whole if name in kept}

    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **__: Any) -> Any:
        """Load what a checkpoint of ours gives; the rest is as it was."""
        missing, unexpected = super().load_state_dict(state_dict, strict=False)
        wanted = self.state_dict()
        return LoadResult([name for name in missing if name in wanted], unexpected)


def feature_batch(items: Sequence[Batch]) -> Batch:
    """Problems with `features` [n, d] and `targets` [n] side by side."""
    return {
        "features": torch.cat([item["features"] for item in items]),
        **_targets(items),
    }


def token_batch(items: Sequence[Batch]) -> Batch:
    """Problems with token sequences, padded on the right.

    Args:
        items: Each with `tokens` [sequences, longest] padded by -1, and for every row
            `sequence` and `position` [n], `numbers` [n, features], and `targets` [n].
    """
    longest = max(item["tokens"].shape[1] for item in items)
    tokens = torch.cat(
        [
            nn.functional.pad(item["tokens"], (0, longest - item["tokens"].shape[1]), value=-1)
            for item in items
        ]
    )
    first, offsets = 0, []
    for item in items:
        offsets.append(first)
        first += len(item["tokens"])
    return {
        "input_ids": tokens.clamp_min(0),
        "attention_mask": (tokens >= 0).long(),
        "sequence": torch.cat(
            [item["sequence"] + offset for item, offset in zip(items, offsets, strict=True)]
        ),
        "position": torch.cat([item["position"] for item in items]),
        "numbers": torch.cat([item["numbers"] for item in items]),
        **_targets(items),
    }


def _targets(items: Sequence[Batch]) -> Batch:
    sizes = torch.tensor([len(item["targets"]) for item in items])
    return {
        "targets": torch.cat([item["targets"] for item in items]),
        "problem": torch.arange(len(items)).repeat_interleave(sizes),
    }
