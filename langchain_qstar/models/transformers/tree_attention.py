"""Attention of many branches over one copy of what they share.

Tokens of all branches go through a model as one row, [1, tokens]; every part of
it but attention treats tokens one by one. Keys and values lie in slots, each a
shared path and the tokens of some branches after it, in the order they came.
Attention puts the queries of a slot side by side and masks what a branch may
not see, so a slot is read once for all of its branches.

It is registered with transformers under `NAME`; a model keeps working as before
for everyone else, because without an active `Plan` on the calling thread the
call goes to scaled dot-product attention.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from transformers import AttentionInterface, AttentionMaskInterface, Cache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from langchain_qstar.errors import ModelError

NAME: Final = "qstar_tree"
_UNKNOWN: Final = ("sliding_window", "softcap", "position_bias", "s_aux", "sinks")
"""Arguments that change what attention computes, in ways that are not done here."""

FOLDED: Final = 64
"""Most queries of a head group that are folded into one key head, instead of repeating keys."""


@dataclass(slots=True)
class Plan:
    """Where the tokens of one forward pass are written, and what they see.

    Attributes:
        slots: int64 [tokens], the slot of each token.
        columns: int64 [tokens], the column it is written to.
        grid: int64 [slots * queries], the token that sits in each place for
            queries, any token where none does; None when that is simply each
            token in order.
        back: int64 [tokens], the place of each token.
        mask: [slots, queries, columns] in the model's type, 0 where a query
            sees a column and -inf elsewhere. As many slots and columns take
            part as it has.
        folded: The mask in the shape attention wants, for each number of query
            heads per key head; made once for all layers.
    """

    slots: torch.Tensor
    columns: torch.Tensor
    grid: torch.Tensor | None
    back: torch.Tensor
    mask: torch.Tensor
    folded: dict[int, torch.Tensor] = field(default_factory=dict)

    def mask_for(self, groups: int) -> torch.Tensor:
        """The mask for `groups` query heads folded into one key head."""
        if groups not in self.folded:
            slots, queries, columns = self.mask.shape
            mask = self.mask[:, None].expand(-1, groups, -1, -1)
            self.folded[groups] = mask.reshape(slots, 1, groups * queries, columns)
        return self.folded[groups]


def grid_of(back: torch.Tensor, places: int) -> torch.Tensor:
    """Which token sits in each of `places` places, given the place of each: int64 [places]."""
    tokens = torch.arange(len(back), device=back.device)
    return back.new_zeros(places).scatter_(0, back, tokens)


class _Active(threading.local):
    plan: Plan | None = None


_active = _Active()


@contextmanager
def following(plan: Plan) -> Iterator[None]:
    """Calls of a model on this thread use `plan`."""
    _active.plan = plan
    try:
        yield
    finally:
        _active.plan = None


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in the form transformers asks for.

    Args:
        module: The attention layer.
        query: [1, heads, tokens, size].
        key: [slots, key heads, columns, size], from `SlotLayer.update`.
        value: As `key`.
        attention_mask: Unused; the plan knows.
        options: `scaling` and others of the model.

    Returns:
        [1, tokens, heads, size], and no weights.

    Raises:
        ModelError: The model wants something else of attention; when it is loaded,
            `architecture.py` then holds its branches in another way.
    """
    plan = _active.plan
    if plan is None:
        result: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return result
    for name in _UNKNOWN:
        if options.get(name) is not None:
            raise ModelError(f"the model asks for {name}, which tree attention cannot do")
    tokens = query[0].transpose(0, 1)
    heads, size = tokens.shape[1:]
    slots, queries, _ = plan.mask.shape
    if plan.grid is not None:
        tokens = tokens[plan.grid]
    groups = heads // key.shape[1]
    if groups * queries > FOLDED:
        key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
        groups = 1
    tokens = tokens.reshape(slots, queries, -1, groups, size)
    mixed = torch.nn.functional.scaled_dot_product_attention(
        tokens.permute(0, 2, 3, 1, 4).flatten(2, 3),  # [slots, key heads, groups * queries, size]
        key,
        value,
        attn_mask=plan.mask_for(groups),
        scale=options.get("scaling"),
    )
    mixed = mixed.reshape(slots, -1, groups, queries, value.shape[-1]).permute(0, 3, 1, 2, 4)
    mixed = mixed.reshape(slots * queries, heads, -1)
    return (mixed if plan.grid is None else mixed[plan.back])[None], None


AttentionInterface.register(NAME, attend)
# Without a mask function of its own name a model builds no mask, also when it is used as before.
AttentionMaskInterface.register(NAME, sdpa_mask)


class SlotLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Writes the new tokens of a layer where the plan says, and shows all slots."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Write into `keys` and `values`, [slots, key heads, columns, size]."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.is_initialized = True
        self.keys, self.values = keys, values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store [1, key heads, tokens, size]; return [slots, key heads, columns, size]."""
        plan = _active.plan
        assert plan is not None
        assert self.keys is not None
        assert self.values is not None
        self.keys[plan.slots, :, plan.columns] = key_states[0].transpose(0, 1)
        self.values[plan.slots, :, plan.columns] = value_states[0].transpose(0, 1)
        slots, columns = plan.mask.shape[0], plan.mask.shape[2]
        return self.keys[:slots, :, :columns], self.values[:slots, :, :columns]


class Slots:
    """Keys and values of several slots, one tensor each for all layers.

    `keys` and `values` are [layers, slots, key heads, columns, size]: attention reads
    one head after the other, twice as fast when its columns lie side by side.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Hold fresh tensors; unused columns must be finite, for they are multiplied by 0."""
        self.keys, self.values = keys, values
        self.cache = Cache(
            layers=[SlotLayer(k, v) for k, v in zip(keys.unbind(0), values.unbind(0), strict=True)]
        )

    @property
    def capacity(self) -> int:
        """Columns of a slot."""
        return self.keys.shape[3]

    @property
    def count(self) -> int:
        """Slots there are."""
        return self.keys.shape[1]

    @property
    def bytes(self) -> int:
        """Memory held."""
        return self.keys.nbytes + self.values.nbytes

    def write(self, slot: int, path: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> int:
        """Copy segments, (keys, values) [layers, key heads, tokens, size], to the slot's start.

        Returns:
            How many columns they fill.
        """
        at = 0
        for keys, values in path:
            end = at + keys.shape[2]
            self.keys[:, slot, :, at:end] = keys
            self.values[:, slot, :, at:end] = values
            at = end
        return at

    def resized(self, count: int, capacity: int, used: int) -> Slots:
        """A copy of the first `used` columns of all slots with room for more."""
        layers, old, heads, _, size = self.keys.shape
        keys = self.keys.new_zeros((layers, count, heads, capacity, size))
        values = self.values.new_zeros((layers, count, heads, capacity, self.values.shape[4]))
        keys[:, :old, :, :used] = self.keys[:, :, :, :used]
        values[:, :old, :, :used] = self.values[:, :, :, :used]
        return Slots(keys, values)
