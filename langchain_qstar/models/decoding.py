"""The decode loop: distinct prompts read once, then one token per row and step.

Prompts are left-padded and read once each; their keys and values are copied per
sample; rows that end leave the batch, so stragglers are cheap. Works for any
Hugging Face causal LM with a `DynamicCache`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from langchain_qstar.models.drawing import draw, seed_tensor, uniforms
from langchain_qstar.models.text import TextCodec
from langchain_qstar.protocols import Finish

_KEEP_SHARE: Final = 0.75
"""Rows are dropped from the cache once fewer than this share are alive: each
drop copies the cache, each dead row costs its share of a step."""

_ROOM: Final = 64
"""Least number of token places added to the cache at a time."""


@dataclass(eq=False, slots=True)
class Row:
    """One completion in the making.

    `prompt` are the ids read before it; the fields from `ids` on are results.
    `cut` holds ids of a token that the end of the step cut (`TextCodec`).
    """

    prompt: tuple[int, ...]
    seed: int
    limit: int
    stop: tuple[str, ...]
    temperature: float
    top_p: float
    top_k: int
    cancelled: Callable[[], bool]
    ids: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    text: str = ""
    finish: Finish = "length"
    generated: int = 0
    reused: int = 0
    hidden: np.ndarray[Any, Any] | None = None


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A cache layer that writes in place instead of copying itself every token.

    `keys` and `values` are views of the used part of larger buffers,
    [rows, heads, places, size].
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Start from the prompt's keys and values, [rows, heads, tokens, size]."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self._hold(keys, values, _ROOM)

    def _hold(self, keys: torch.Tensor, values: torch.Tensor, room: int) -> None:
        used = keys.shape[-2]
        shape = (*keys.shape[:2], used + room)
        self._key_buffer = keys.new_empty((*shape, keys.shape[-1]))
        self._value_buffer = values.new_empty((*shape, values.shape[-1]))
        self._key_buffer[:, :, :used] = keys
        self._value_buffer[:, :, :used] = values
        self._show(used)

    def _show(self, used: int) -> tuple[torch.Tensor, torch.Tensor]:
        self._used = used
        self.keys = keys = self._key_buffer[:, :, :used]
        self.values = values = self._value_buffer[:, :, :used]
        return keys, values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the new tokens and return all keys and values so far."""
        used, end = self._used, self._used + key_states.shape[-2]
        if end > self._key_buffer.shape[-2]:
            self._hold(*self._show(used), max(_ROOM, used // 2, end - used))
        self._key_buffer[:, :, used:end] = key_states
        self._value_buffer[:, :, used:end] = value_states
        return self._show(end)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Make `indices` the rows: any of the old ones, any number of times."""
        # Whole buffers: copying contiguous memory is far faster than views.
        self._key_buffer = self._key_buffer.index_select(0, indices)
        self._value_buffer = self._value_buffer.index_select(0, indices)
        self._show(self._used)


def pad_left(
    paths: Sequence[Sequence[int]], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask and positions, int64 [n, longest], with padding on the left."""
    longest = max(len(path) for path in paths)
    ids = np.zeros((len(paths), longest), dtype=np.int64)
    mask = np.zeros((len(paths), longest), dtype=np.int64)
    for row, path in enumerate(paths):
        ids[row, longest - len(path) :] = path
        mask[row, longest - len(path) :] = 1
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    return (
        torch.from_numpy(ids).to(device),
        torch.from_numpy(mask).to(device),
        torch.from_numpy(positions).to(device),
    )


class Decoder:
    """Runs rows through one model. Used from one thread."""

    def __init__(self, model: Any, codec: TextCodec, eos: Sequence[int]) -> None:
        """Bind a causal LM in evaluation mode, its codec and its end tokens."""
        self.model = model
        self.codec = codec
        self.device: torch.device = model.device
        self.layers: tuple[int, ...] = ()
        """Indices into `hidden_states` recorded for finished steps; none by default."""
        vocabulary = model.config.get_text_config().vocab_size
        self.vocabulary = int(vocabulary)
        self.is_eos = np.zeros(self.vocabulary, dtype=bool)
        self.is_eos[[token for token in eos if token < self.vocabulary]] = True
        accepted = inspect.signature(model.forward).parameters
        self._positions = "position_ids" in accepted
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    def forward(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: DynamicCache | None = None,
        *,
        hidden: bool = False,
        last_only: bool = True,
    ) -> Any:
        """One forward pass of the model; arguments int64 [n, tokens]."""
        extra: dict[str, Any] = dict(self._last_only) if last_only else {}
        if self._positions:
            extra["position_ids"] = positions
        return self.model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
            output_hidden_states=hidden,
            **extra,
        )

    def run(self, rows: Sequence[Row], closing: Callable[[], bool]) -> None:
        """Complete all rows as one batch, writing the results into them."""
        _Batch(self, rows, closing).run()


class _Batch:
    """The state of one run: which row sits in which slot of the cache."""

    def __init__(self, decoder: Decoder, rows: Sequence[Row], closing: Callable[[], bool]) -> None:
        self.decoder = decoder
        self.closing = closing
        self.rows = list(rows)
        self.device = decoder.device
        count = len(self.rows)
        self.slots = np.arange(count)  # slot -> row
        self.live = np.ones(count, dtype=bool)  # by slot: still drawing tokens
        self.settling: list[int] = []  # slots whose last token is yet to be read
        self.limits = np.array([row.limit for row in self.rows])
        longest = int(self.limits.max())
        self.history = np.zeros((count, longest), dtype=np.int64)
        self.scores = np.zeros((count, longest), dtype=np.float32)
        self.checks = self._stop_tables()
        self._load_settings()

    def _stop_tables(self) -> np.ndarray[Any, Any]:
        """By row, which tokens call for a look at the text: bool [rows, vocabulary]."""
        size = self.decoder.vocabulary
        kinds: dict[tuple[str, ...], int] = {}
        self.kind = np.array([kinds.setdefault(row.stop, len(kinds)) for row in self.rows])
        tables = [self.decoder.codec.may_complete(stop, size) for stop in kinds]
        return np.stack(tables) | self.decoder.is_eos

    def _load_settings(self) -> None:
        rows = self.rows
        self.seeds = seed_tensor([row.seed for row in rows], self.device)

        def on_device(values: list[Any], dtype: torch.dtype) -> torch.Tensor:
            return torch.tensor(values, dtype=dtype, device=self.device)

        self.temperature = on_device([row.temperature for row in rows], torch.float32)
        self.truncates = any(row.top_p < 1 or row.top_k > 0 for row in rows)
        self.top_p = on_device([row.top_p for row in rows], torch.float32)
        self.top_k = on_device([row.top_k for row in rows], torch.int64)

    def run(self) -> None:
        """Read the prompts, then draw tokens until every row has ended."""
        logits = self._read_prompts()
        position = 0
        while True:
            tokens = self._draw(logits, position)
            position += 1
            self._drop_cancelled()
            if not self.live.any() and not self.settling:
                return
            tokens = self._compact(tokens)
            logits = self._advance(tokens)
            if not self.live.any():
                return

    def _read_prompts(self) -> torch.Tensor:
        """Read each distinct prompt once, then give every row a copy: [rows, vocabulary]."""
        index: dict[tuple[int, ...], int] = {}
        of_row = []
        for row in self.rows:
            row.reused = len(row.prompt) if row.prompt in index else 0
            of_row.append(index.setdefault(row.prompt, len(index)))
        ids, mask, positions = pad_left(list(index), self.device)
        self.cache = DynamicCache(config=self.decoder.model.config)
        output = self.decoder.forward(ids, mask, positions, self.cache)
        chosen = torch.tensor(of_row, device=self.device)
        for place, layer in enumerate(self.cache.layers):
            # Sliding and linear layers keep their own kind of cache.
            if type(layer) is not DynamicLayer or layer.keys is None or layer.values is None:
                continue
            self.cache.layers[place] = RoomyLayer(layer.keys, layer.values)
        if len(index) < len(of_row):
            self.cache.batch_select_indices(chosen)
        self.mask = mask[chosen]
        self.lengths = self.mask.sum(dim=1)
        logits: torch.Tensor = output.logits[:, -1][chosen]
        return logits

    def _draw(self, logits: torch.Tensor, position: int) -> torch.Tensor:
        """Draw a token for every slot and end the rows it ends."""
        tokens, logprobs = draw(
            logits,
            uniforms(self.seeds, position),
            self.temperature,
            self.top_p if self.truncates else None,
            self.top_k if self.truncates else None,
        )
        drawn, scores = tokens.cpu().numpy(), logprobs.cpu().numpy()
        rows = self.slots[self.live]
        self.history[rows, position] = drawn[self.live]
        self.scores[rows, position] = scores[self.live]
        notable = self.checks[self.kind[self.slots], drawn] | (
            self.limits[self.slots] <= position + 1
        )
        for slot in np.flatnonzero(self.live & notable):
            self._look_at(int(slot), int(drawn[slot]), position + 1)
        return tokens

    def _look_at(self, slot: int, token: int, generated: int) -> None:
        """End the row in `slot` if its latest token ends it."""
        number = int(self.slots[slot])
        row = self.rows[number]
        ids: list[int] = self.history[number, :generated].tolist()
        codec = self.decoder.codec
        if self.decoder.is_eos[token]:
            row.finish, row.ids = "eos", ids[:-1]
            row.text = codec.decode(row.ids, row.prompt)
        elif (cut := codec.cut_at_stop(ids, row.stop, row.prompt)) is not None:
            row.finish = "stop"
            row.text, row.ids, row.cut = cut
        elif generated >= row.limit:
            row.finish, row.ids = "length", ids
            row.text = codec.decode(ids, row.prompt)
        else:
            return
        self._end(slot, generated)

    def _end(self, slot: int, generated: int) -> None:
        number = int(self.slots[slot])
        row = self.rows[number]
        row.generated = generated
        row.logprobs = self.scores[number, : len(row.ids)].tolist()
        if row.cut:
            # The first id carries what was drawn, so the sum stays the
            # log-probability of the tokens the model really produced.
            drawn = float(self.scores[number, len(row.ids) : generated].sum())
            row.logprobs += [drawn] + [0.0] * (len(row.cut) - 1)
        self.live[slot] = False
        if self.decoder.layers and row.finish == "stop" and not row.cut:
            self.settling.append(slot)

    def _drop_cancelled(self) -> None:
        closing = self.closing()
        for slot in np.flatnonzero(self.live):
            row = self.rows[self.slots[slot]]
            if closing or row.cancelled():
                row.finish = "cancelled"
                self.live[slot] = False

    def _compact(self, tokens: torch.Tensor) -> torch.Tensor:
        """Drop ended rows from the cache once there are enough of them."""
        needed = self.live.copy()
        needed[self.settling] = True
        if needed.mean() > _KEEP_SHARE:
            return tokens
        kept = np.flatnonzero(needed)
        place = {int(slot): new for new, slot in enumerate(kept)}
        self.settling = [place[slot] for slot in self.settling]
        self.slots, self.live = self.slots[kept], self.live[kept]
        chosen = torch.from_numpy(kept).to(self.device)
        self.cache.batch_select_indices(chosen)
        for name in ("seeds", "temperature", "top_p", "top_k", "mask", "lengths"):
            setattr(self, name, getattr(self, name)[chosen])
        return tokens[chosen]

    def _advance(self, tokens: torch.Tensor) -> torch.Tensor:
        """Feed the latest token of every slot; logits [slots, vocabulary]."""
        self.mask = torch.cat([self.mask, self.mask.new_ones((len(tokens), 1))], dim=1)
        output = self.decoder.forward(
            tokens[:, None],
            self.mask,
            self.lengths[:, None],
            self.cache,
            hidden=bool(self.settling),
        )
        self.lengths = self.lengths + 1
        if self.settling:
            states = torch.cat(
                [output.hidden_states[layer][self.settling, -1] for layer in self.decoder.layers],
                dim=-1,
            )
            for slot, hidden in zip(self.settling, states.float().cpu().numpy(), strict=True):
                self.rows[self.slots[slot]].hidden = hidden
            self.settling = []
        logits: torch.Tensor = output.logits[:, -1]
        return logits
