"""One forward pass of a Hugging Face causal LM, with what an engine wants of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

Kept = TypeVar("Kept")


@dataclass(slots=True)
class Output:
    """`logits` [rows, kept, vocabulary]; `hidden` float32 [rows, tokens, d] or None."""

    logits: torch.Tensor
    hidden: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class Chain(Generic[Kept]):
    """Segments of tokens to read one after the other, below a path of `start` tokens."""

    path: Sequence[Kept]
    start: int
    segments: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Fork(Generic[Kept]):
    """`count` branches of at most `limit` tokens that start after a path of `start` tokens."""

    path: Sequence[Kept]
    start: int
    count: int
    limit: int


@dataclass(slots=True)
class Segment:
    """What the end of a read segment holds.

    `kept` are its keys and values, in the form of the rows that made it;
    `logits` [vocabulary] and `hidden` float32 [d] are those of its last token.
    """

    kept: Any
    logits: torch.Tensor
    hidden: torch.Tensor | None


@dataclass(slots=True)
class Reading:
    """One chain that was read.

    `logprobs` are those of all its tokens after the first, or none when they
    were not asked for.
    """

    segments: list[Segment]
    logprobs: list[float]


class CausalModel:
    """A causal LM in evaluation mode."""

    def __init__(self, model: Any) -> None:
        """Wrap `model`, already on its device."""
        config = model.config.get_text_config()
        self.model = model
        self.config = config
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        self.vocabulary = int(config.vocab_size)
        self.depth = int(config.num_hidden_layers)
        self.layers: tuple[int, ...] = ()
        """Indices into `hidden_states` that every pass returns side by side."""
        # An adapter around a model passes on what it does not name.
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        accepted = inspect.signature(inner.forward).parameters
        self._positions = "position_ids" in accepted
        self._keeps = "logits_to_keep" in accepted

    @property
    def takes_positions(self) -> bool:
        """Whether positions can be told apart from the order of tokens."""
        return self._positions

    def __call__(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        cache: Any,
        mask: torch.Tensor | None = None,
        keep: torch.Tensor | None = None,
    ) -> Output:
        """Run the model.

        Args:
            ids: int64 [rows, tokens].
            positions: int64 [rows, tokens].
            cache: A `Cache` that gets their keys and values.
            mask: [rows, all tokens], or None when nothing is padding.
            keep: int64, the tokens whose logits are wanted; default all.
        """
        options: dict[str, Any] = {}
        if self._positions:
            options["position_ids"] = positions
        if keep is not None and self._keeps:
            options["logits_to_keep"] = keep
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            output_hidden_states=bool(self.layers),
            **options,
        )
        logits = output.logits
        if keep is not None and not self._keeps:
            logits = logits[:, keep]
        return Output(logits, self._side_by_side(output))

    def _side_by_side(self, output: Any) -> torch.Tensor | None:
        if not self.layers:
            return None
        chosen = [output.hidden_states[layer] for layer in self.layers]
        return torch.cat(chosen, dim=-1).float()

    def indices(self, *parts: Sequence[int]) -> list[torch.Tensor]:
        """Lists of ints as int64 tensors on the device, sent there as one."""
        flat = torch.tensor([number for part in parts for number in part], dtype=torch.int64)
        sent = flat.to(self.device, non_blocking=True)
        return list(torch.split(sent, [len(part) for part in parts]))


def following_logprobs(logits: torch.Tensor, tokens: torch.Tensor) -> list[float]:
    """Natural-log probability of each of `tokens` int64 [n] after the logits [n, vocabulary]."""
    if not len(tokens):
        return []
    scores = logits.float().log_softmax(dim=-1)
    values: list[float] = scores.gather(1, tokens[:, None])[:, 0].tolist()
    return values


@contextmanager
def out_of_memory() -> Iterator[None]:
    """Make every way in which memory runs out a `MemoryError`."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        # The CPU's allocator has no type of its own.
        if "can't allocate memory" in str(error) or "out of memory" in str(error):
            raise MemoryError(str(error)) from error
        raise
