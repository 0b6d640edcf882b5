# ruff: noqa: SLF001 - contexts are put where the engine keeps what it read
"""Rows of a GGUF model, in the engine and in a bare context of llama.cpp."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from engine_parts.rows import CONTEXT, FIRST, Prompt, Rows, over_bare, placed, resident
from langchain_qstar.models.llamacpp.cells import Cells
from langchain_qstar.models.llamacpp.decoding import State as Segment
from langchain_qstar.models.llamacpp.loading import library
from langchain_qstar.models.llamacpp.policy import LlamaCppPolicy
from langchain_qstar.models.llamacpp.streams import Streams

ROW_TOKENS: Final = 512
"""Room of a row with a memory of its own."""

_BATCH: Final = 512


def measure(file: Path, counts: Sequence[int], turns: int) -> dict[str, float]:
    """The figures of one file, with one memory for all rows and with one for each."""
    figures: dict[str, float] = {}
    before = resident()
    for way, row_tokens in (("shared", None), ("engine", ROW_TOKENS)):
        policy = LlamaCppPolicy(file, threads=1, max_rows=max(counts), row_tokens=row_tokens)
        model = policy._backend._context.model  # type: ignore[attr-defined]
        rows = Rows(policy, partial(_hold, policy))
        for count in counts:
            rows.seconds(count)  # what bare rows take is not part of the memory
            if way == "shared":
                cache = policy._limits.cache_bytes
                weights = int(library.llama_model_size(model.pointer))
                taken = (resident() - before - cache) / weights
                figures["memory_over_weights"] = max(figures.get("memory_over_weights", 0), taken)
        for count in counts:
            over, speed = over_bare(rows, BareRows(model, count), count, turns)
            figures[f"{way}_over_raw_{count}"] = over
            if way == "engine":
                figures[f"row_tokens_per_second_{count}"] = speed
        policy.close()
    return figures


def _hold(policy: LlamaCppPolicy, prompts: Sequence[Prompt]) -> None:
    """Put contexts into the tree, all with the keys and values of one that is read for it."""
    backend: Any = policy._backend
    cells, count = backend._cells, CONTEXT - 1
    branch = cells.fork([], 0, reading=True)
    cells.decode([FIRST] * count, list(range(count)), [branch] * count, [False] * count)
    saved = cells.context.saved(branch)
    (first,) = cells.store(branch, [(0, count)])
    for number, prompt in enumerate(prompts):
        # A copy on the host serves any number of rows; cells belong to one.
        shared = not number or isinstance(cells, Streams)
        stretch = first if shared else _copied(cells, saved, count)
        placed(policy._scheduler.tree, prompt, Segment(stretch), 0)


def _copied(cells: Cells, saved: Any, count: int) -> Any:
    """Cells of their own with what was saved of another sequence."""
    branch = cells.fork([], 0)
    cells.context.restore(branch, saved)
    cells._read[branch] += count
    cells._used += count
    (stretch,) = cells.store(branch, [(0, count)])
    return stretch


class BareRows:
    """Rows in a context of llama.cpp of their own, each with a memory of its own."""

    def __init__(self, model: Any, rows: int) -> None:
        self._rows, self._at = rows, CONTEXT
        parameters = library.llama_context_default_params()
        parameters.n_ctx, parameters.n_seq_max = rows * ROW_TOKENS, rows
        parameters.n_batch, parameters.kv_unified = _BATCH, False
        parameters.n_threads = parameters.n_threads_batch = 1
        self._pointer = library.llama_init_from_model(model.pointer, parameters)
        self._batch = library.llama_batch_init(_BATCH, 0, 1)
        self._decode([(0, place) for place in range(CONTEXT)], wanted=False)
        size = library.llama_state_seq_get_size(self._pointer, 0)
        saved = (ctypes.c_uint8 * size)()
        library.llama_state_seq_get_data(self._pointer, saved, size, 0)
        for row in range(1, rows):
            assert library.llama_state_seq_set_data(self._pointer, saved, size, row)

    def _decode(self, places: Sequence[tuple[int, int]], *, wanted: bool) -> None:
        batch = self._batch
        batch.n_tokens = len(places)
        for number, (row, place) in enumerate(places):
            batch.token[number], batch.pos[number] = FIRST + number, place
            batch.n_seq_id[number], batch.seq_id[number][0] = 1, row
            batch.logits[number] = wanted
        assert library.llama_decode(self._pointer, batch) == 0
        library.llama_synchronize(self._pointer)

    def seconds(self, steps: int) -> float:
        """CPU seconds a token of some more steps."""
        start = time.process_time()
        for _ in range(steps):
            self._decode([(row, self._at) for row in range(self._rows)], wanted=True)
            self._at += 1
        return (time.process_time() - start) / steps / self._rows

    def close(self) -> None:
        """Give the memory back."""
        library.llama_batch_free(self._batch)
        library.llama_free(self._pointer)
