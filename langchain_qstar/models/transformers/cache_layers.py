"""What can be done with the layers of a transformers cache: copied, put side by side, made wider.

Layers of full attention grow with the text; sliding windows and recurrent
states do not. The last two can be copied at the end of a segment but not taken
back to an earlier one, so nothing here ever crops.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from transformers.cache_utils import (
    DummyLayer,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
    LinearAttentionLayer,
)

from langchain_qstar.errors import ModelSpecError

_ROOM: Final = 64
"""Least number of token places added to a layer at a time."""


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer that writes in place instead of copying itself every token.

    `keys` and `values` are views of the used part of larger buffers,
    [rows, heads, places, size].
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Start from keys and values, [rows, heads, tokens, size]."""
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


_ATTENTION: Final = (
    DynamicLayer,
    RoomyLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
)
_STATES: Final = ("conv_states", "recurrent_states")
_FLAGS: Final = (
    "is_conv_states_initialized",
    "is_recurrent_states_initialized",
    "has_previous_state",
    "conv_kernel_size",
)
_KNOWN: Final = (*_ATTENTION, LinearAttentionLayer, DummyLayer)


def check_known(layers: Sequence[Any]) -> None:
    """Refuse caches whose layers are of kinds that this module does not know.

    Raises:
        ModelSpecError: There is one.
    """
    for layer in layers:
        if type(layer) not in _KNOWN:
            raise ModelSpecError(
                f"this architecture keeps a {type(layer).__name__}, which is not supported; "
                "serve the model elsewhere and pass a LangChain chat model"
            )


def grows(layer: Any) -> bool:
    """Whether the layer holds nothing but keys and values of every token so far."""
    return type(layer) in (DynamicLayer, RoomyLayer) and layer.keys is not None


def columns(layer: Any, width: int) -> int:
    """How many token places a layer of attention holds after `width` tokens."""
    window = getattr(layer, "sliding_window", None)
    return width if window is None else min(width, window - 1)


def selected(layer: Any, rows: torch.Tensor) -> Any:
    """A layer of these rows of `layer`, any number of times, in memory of its own."""
    return _mapped(layer, lambda tensor: tensor.index_select(0, rows.to(tensor.device)))


def beside(layers: Sequence[Any]) -> Any:
    """The rows of all `layers`, which must be equally wide."""
    first = layers[0]
    made = copy.copy(first)
    if isinstance(first, _ATTENTION) and first.keys is not None:
        made.keys = torch.cat([layer.keys for layer in layers])
        made.values = torch.cat([layer.values for layer in layers])
    if isinstance(first, LinearAttentionLayer):
        for name in _STATES:
            states = {
                index: None
                if state is None
                else torch.cat([getattr(layer, name)[index] for layer in layers])
                for index, state in getattr(first, name).items()
            }
            setattr(made, name, states)
    return made


def widened(layer: Any, width: int) -> Any:
    """The layer as if `width` tokens had been read, the first of them padding.

    Also makes it narrower, when the tokens lost are padding of every row.
    """
    if not isinstance(layer, _ATTENTION) or layer.keys is None or layer.values is None:
        return layer
    made = copy.copy(layer)
    more = columns(layer, width) - layer.keys.shape[-2]
    if more:
        made.keys = torch.nn.functional.pad(layer.keys, (0, 0, more, 0))
        made.values = torch.nn.functional.pad(layer.values, (0, 0, more, 0))
    if isinstance(layer, DynamicSlidingWindowLayer):
        made.cumulative_length = width
    return made


def roomy(layer: Any) -> Any:
    """The layer in a form that is fast to write to."""
    return RoomyLayer(layer.keys, layer.values) if grows(layer) else layer


def state_of(layer: Any, row: int, length: int) -> Any:
    """A copy of what `layer` holds of one row that has read `length` tokens."""
    made = _mapped(layer, lambda tensor: tensor[row : row + 1].clone())
    return widened(made, length)


def nbytes(layer: Any) -> int:
    """Memory of a layer."""
    size = 0

    def measure(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal size
        size += tensor.nbytes
        return tensor

    _mapped(layer, measure)
    return size


def _mapped(layer: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A copy of `layer` with every tensor that has rows changed."""
    made = copy.copy(layer)
    if isinstance(layer, _ATTENTION) and layer.keys is not None and layer.values is not None:
        made.keys, made.values = change(layer.keys), change(layer.values)
    if isinstance(layer, LinearAttentionLayer):
        for name in _STATES:
            states = {
                index: None if state is None else change(state)
                for index, state in getattr(layer, name).items()
            }
            setattr(made, name, states)
        for name in _FLAGS:
            setattr(made, name, dict(getattr(layer, name)))
    return made
