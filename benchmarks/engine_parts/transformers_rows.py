# ruff: noqa: SLF001 - contexts are put where the engine keeps what it read
"""Rows of a transformers model, in the engine and in a static cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from transformers import StaticCache

from engine_parts.rows import CONTEXT, TOKENS, Prompt, Rows, over_bare, placed
from langchain_qstar.models.transformers.decoding import State as Segment
from langchain_qstar.models.transformers.policy import TransformersPolicy


def measure(model: Any, tokenizer: Any, counts: Sequence[int], turns: int) -> dict[str, float]:
    """The figures of one model on one CPU thread."""
    policy = TransformersPolicy(model, tokenizer, threads=1)
    rows = Rows(policy, partial(_hold, policy))
    figures: dict[str, float] = {}
    for count in counts:
        over, speed = over_bare(rows, BareRows(model, count, turns), count, turns)
        figures[f"transformers_over_raw_{count}"] = over
        figures[f"transformers_row_tokens_per_second_{count}"] = speed
    policy.close()
    return figures


def _hold(policy: TransformersPolicy, prompts: Sequence[Prompt]) -> None:
    """Put contexts into the tree, all with the same keys and values, which say nothing."""
    config = policy._backend.model.config  # type: ignore[attr-defined]
    shape = (
        config.num_hidden_layers,
        config.num_key_value_heads,
        CONTEXT - 1,
        config.hidden_size // config.num_attention_heads,
    )
    kept = (torch.randn(shape), torch.randn(shape))
    for prompt in prompts:
        placed(policy._scheduler.tree, prompt, Segment(kept), 0)


class BareRows:
    """A full batch of the bare model."""

    def __init__(self, model: Any, rows: int, turns: int) -> None:
        config = model.config
        self._model, self._rows = model, rows
        self._cache = StaticCache(config=config, max_cache_len=CONTEXT + 2 + turns * TOKENS)
        size = config.hidden_size // config.num_attention_heads
        self._cache.early_initialization(
            rows, config.num_key_value_heads, size, model.dtype, model.device
        )
        for layer in self._cache.layers:
            layer.cumulative_length.fill_(CONTEXT)  # type: ignore[union-attr]
        self._ids = torch.ones((rows, 1), dtype=torch.int64)

    @torch.inference_mode()
    def seconds(self, steps: int) -> float:
        """CPU seconds a token of some more steps."""
        start = time.process_time()
        for _ in range(steps):
            self._model(input_ids=self._ids, past_key_values=self._cache, use_cache=True)
        return (time.process_time() - start) / steps / self._rows

    def close(self) -> None:
        """Give the memory back."""
        del self._cache
