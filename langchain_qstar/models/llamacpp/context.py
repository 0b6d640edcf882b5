"""One context of llama.cpp: the memory of what was read, and the decoding of batches.

Its sequences share one buffer, so that marking cells for another sequence copies nothing
(`cells.py`); or each is a stream with cells of its own (`streams.py`). Used from one thread.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from langchain_qstar.errors import ModelError, ModelSpecError, SettingsError
from langchain_qstar.models.engine.backend import Floats
from langchain_qstar.models.llamacpp.loading import GGUFModel, complaints_of, library
from langchain_qstar.models.llamacpp.sequences import MOST

CACHE_TYPES: Final = {
    "f32": 4.0,
    "f16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
}
"""How keys and values can be stored, and how many bytes a number takes."""

Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

_NO_ROOM: Final = (1, -2)
"""What `llama_decode` returns when the cache is full, or memory for computing is short."""

_EXTRACTING: Final = frozenset({"llama", "qwen3", "qwen3moe"})
"""Architectures that are known to show the inputs of their layers; asking others for
them would end the process."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a context computes.

    Attributes:
        cells: Tokens that fit its memory, all sequences together.
        streams: Sequences with cells of their own, all alike many; 0 is one buffer for all.
        sequences: Without streams, how many sequences tokens can be read into. For each of
            them llama.cpp reserves the logits of a token.
        batch: Most tokens of one call.
        threads: CPU threads.
        flash_attention: None lets llama.cpp decide.
        key_type: One of `CACHE_TYPES`.
        value_type: As well; other than float it needs flash attention.
        adapters: LoRAs and how strongly each is applied.
    """

    cells: int
    streams: int = 0
    sequences: int = MOST
    batch: int = 512
    threads: int = 1
    flash_attention: bool | None = None
    key_type: str = "f16"
    value_type: str = "f16"
    adapters: tuple[tuple[Path, float], ...] = ()


def cell_bytes(model: GGUFModel, key_type: str, value_type: str) -> float:
    """Memory of the keys and values of one token.

    Raises:
        SettingsError: They cannot be stored so.
    """
    for kind in (key_type, value_type):
        if kind not in CACHE_TYPES:
            raise SettingsError(
                f"{kind!r} is no type of keys and values; choose of {', '.join(CACHE_TYPES)}"
            )
    return model.cell_values * (CACHE_TYPES[key_type] + CACHE_TYPES[value_type]) / 2


class Context:
    """Memory for tokens of one model, and its forward pass."""

    def __init__(self, model: GGUFModel, settings: Settings) -> None:
        """Reserve the memory.

        Raises:
            ModelSpecError: llama.cpp refuses the settings, or memory is short.
        """
        self.model = model
        made, reason = complaints_of(
            lambda: library.llama_init_from_model(model.pointer, _parameters(settings))
        )
        if not made:
            raise ModelSpecError(
                f"llama.cpp makes no context for {model.file}: {reason}; "
                "try a smaller cache_tokens, or other types of keys and values"
            )
        self._pointer = made
        weakref.finalize(self, library.llama_free, made).atexit = False
        self._memory = library.llama_get_memory(made)
        self.cells = int(library.llama_n_ctx(made))
        self.streams = settings.streams
        """Sequences with cells of their own, 0 where one buffer is shared."""
        self.sequences = settings.streams or settings.sequences
        """Sequences that tokens can be read into."""
        self.longest = self.cells // max(1, self.streams)
        """Tokens of the longest text."""
        self.batch = int(library.llama_n_batch(made))
        self._batch = _Batch(self.batch)
        self._inputs: tuple[int, ...] = ()
        self._embeds = False
        self._apply(settings.adapters)

    def _apply(self, adapters: Sequence[tuple[Path, float]]) -> None:
        if not adapters:
            return
        count = len(adapters)
        loaded = [self.model.adapter(file) for file, _ in adapters]
        pointers = (library.llama_adapter_lora_p_ctypes * count)(*loaded)
        scales = (ctypes.c_float * count)(*(scale for _, scale in adapters))
        library.llama_set_adapters_lora(self._pointer, pointers, count, scales)

    def record(self, layers: Sequence[int]) -> None:
        """Have the hidden states of these layers recorded from now on; none by default.

        Raises:
            ModelSpecError: This model shows the last layer only.
        """
        inputs = tuple(layer for layer in layers if layer < self.model.depth)
        if inputs and not _can_extract(self.model):
            raise ModelSpecError(
                f"llama.cpp shows hidden layer {self.model.depth} of {self.model.architecture} "
                f"only, not {list(inputs)}; train the head on that, or use transformers"
            )
        for layer in {*self._inputs, *inputs}:
            _extract()[0](self._pointer, layer, layer in inputs)
        self._inputs = inputs
        self._embeds = len(inputs) < len(layers)
        library.llama_set_embeddings(self._pointer, self._embeds)

    def decode(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        numbers: Sequence[int],
        wanted: Sequence[bool],
    ) -> None:
        """Read tokens, at most `batch` of them, each into a sequence at a position.

        Args:
            tokens: n ids.
            positions: Of each in its sequence; those of one sequence rise.
            numbers: The sequence of each.
            wanted: Which of them `logits` shall have; all of them while the last
                layer is recorded.

        Raises:
            MemoryError: No room; nothing was read.
            ModelError: llama.cpp failed.
        """
        if self._embeds:
            wanted = [True] * len(tokens)
        self._batch.fill(tokens, positions, numbers, wanted)
        code = library.llama_decode(self._pointer, self._batch.structure)
        if code in _NO_ROOM:
            raise MemoryError(f"no room for {len(tokens)} tokens among {self.cells} cells")
        if code:
            raise ModelError(f"llama.cpp failed to decode (code {code})")

    def logits(self, places: Sequence[int] | None = None) -> list[Floats]:
        """Of tokens of the last call, all of them wanted: float32 [vocabulary] each.

        They lie in memory that the next call overwrites.

        Args:
            places: Which tokens of the call; None is every wanted one.
        """
        found = library.llama_get_logits(self._pointer)
        rows = self._batch.rows
        logits = np.ctypeslib.as_array(found, (int(rows[-1]) + 1, self.model.tokens))
        return list(logits if places is None else (logits[row] for row in rows[list(places)]))

    def hidden(self, layers: Sequence[int], places: Sequence[int]) -> Floats:
        """Recorded hidden states of tokens of the last call: float32 [places, layers * width].

        Args:
            layers: Those recorded, side by side in this order.
            places: Which tokens of the call.
        """
        chosen = list(places)
        return np.concatenate([self._layer(layer)[chosen] for layer in layers], axis=1)

    def _layer(self, layer: int) -> Floats:
        if layer == self.model.depth:
            found = library.llama_get_embeddings(self._pointer)
        else:
            found = _extract()[1](self._pointer, layer)
        return np.ctypeslib.as_array(found, (len(self._batch.rows), self.model.width))

    def copy(self, source: int, target: int, start: int, end: int) -> None:
        """Mark the cells of `source` from `start` to `end` for `target` too."""
        library.llama_memory_seq_cp(self._memory, source, target, start, end)

    def saved(self, number: int) -> Bytes:
        """The keys and values of a sequence as bytes: uint8 [n]."""
        size = library.llama_state_seq_get_size(self._pointer, number)
        data = np.empty(size, dtype=np.uint8)
        written = library.llama_state_seq_get_data(self._pointer, _bytes(data), size, number)
        if written != size:
            raise ModelError(f"llama.cpp saved {written} of {size} bytes of a sequence")
        return data

    def restore(self, number: int, data: Bytes) -> None:
        """Put what was `saved` into a sequence, in place of what it holds.

        Raises:
            MemoryError: There is no room.
        """
        if not library.llama_state_seq_set_data(self._pointer, _bytes(data), len(data), number):
            raise MemoryError("no room for the saved keys and values of a sequence")

    def remove(self, number: int, start: int = 0, end: int = -1) -> None:
        """Unmark cells of a sequence; those that belong to no other are free."""
        library.llama_memory_seq_rm(self._memory, number, start, end)


def _bytes(data: Bytes) -> Any:
    return data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


class _Batch:
    """The arrays of a `llama_batch` with one sequence a token, written by numpy."""

    def __init__(self, size: int) -> None:
        self._tokens = np.zeros(size, dtype=np.int32)
        self._positions = np.zeros(size, dtype=np.int32)
        self._numbers = np.zeros(size, dtype=np.int32)
        self._counts = np.ones(size, dtype=np.int32)
        self._wanted = np.zeros(size, dtype=np.int8)
        # llama.cpp wants a pointer to the sequences of every token: to one number each.
        self._pointers = self._numbers.ctypes.data + 4 * np.arange(size, dtype=np.uintp)
        self.rows = np.zeros(0, dtype=np.int64)
        """For every token of the latest batch, how many before it are wanted."""
        structure = library.llama_batch()
        for name, array in (
            ("token", self._tokens),
            ("pos", self._positions),
            ("n_seq_id", self._counts),
            ("seq_id", self._pointers),
            ("logits", self._wanted),
        ):
            kind = type(getattr(structure, name))
            setattr(structure, name, ctypes.cast(array.ctypes.data, kind))
        self.structure = structure

    def fill(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        numbers: Sequence[int],
        wanted: Sequence[bool],
    ) -> None:
        count = len(tokens)
        self._tokens[:count] = tokens
        self._positions[:count] = positions
        self._numbers[:count] = numbers
        self._wanted[:count] = wanted
        self.structure.n_tokens = count
        self.rows = self._wanted[:count].cumsum(dtype=np.int64) - 1


def _parameters(settings: Settings) -> Any:
    parameters = library.llama_context_default_params()
    parameters.n_ctx = settings.cells
    parameters.n_batch = settings.batch
    parameters.n_ubatch = min(settings.batch, parameters.n_ubatch)
    parameters.n_seq_max = settings.streams or settings.sequences
    parameters.n_threads = parameters.n_threads_batch = settings.threads
    parameters.pooling_type = library.LLAMA_POOLING_TYPE_NONE
    parameters.flash_attn_type = {
        None: library.LLAMA_FLASH_ATTN_TYPE_AUTO,
        True: library.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        False: library.LLAMA_FLASH_ATTN_TYPE_DISABLED,
    }[settings.flash_attention]
    parameters.type_k = _ggml_type(settings.key_type)
    parameters.type_v = _ggml_type(settings.value_type)
    parameters.kv_unified = not settings.streams
    parameters.swa_full = True  # a window would forget what other branches still need
    return parameters


def _ggml_type(name: str) -> int:
    return int(getattr(library, f"GGML_TYPE_{name.upper()}"))


def _can_extract(model: GGUFModel) -> bool:
    return model.architecture in _EXTRACTING and _extract() is not None


def _extract() -> Any:
    """Switch on, and read, the inputs of a layer; None where the library does not export them.

    They are C++ functions of llama.cpp's experimental interface, under the names that
    GCC and Clang give them.
    """
    loaded = library.llama_cpp._lib  # noqa: SLF001  # the only way to what is not bound
    try:
        switch = loaded._Z30llama_set_embeddings_layer_inpP13llama_contextjb  # noqa: SLF001
        read = loaded._Z30llama_get_embeddings_layer_inpP13llama_contextj  # noqa: SLF001
    except AttributeError:
        return None
    switch.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_bool]
    switch.restype = None
    read.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    read.restype = ctypes.POINTER(ctypes.c_float)
    return switch, read
