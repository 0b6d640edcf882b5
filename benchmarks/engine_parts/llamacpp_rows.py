# ruff: noqa: SLF001 - contexts are put where the engine keeps what it read
"""Rows of a GGUF model in the engine beside bare `llama_decode` of as many rows.

Contexts are not computed one by one, which would take minutes: one of them is, and the
keys and values of all others are copies of it. What a step costs does not depend on what
they say.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from typing import Any, Final

from langchain_qstar.models.engine.jobs import CallJob
from langchain_qstar.models.llamacpp.cells import Cells
from langchain_qstar.models.llamacpp.decoding import State as Segment
from langchain_qstar.models.llamacpp.loading import library
from langchain_qstar.models.llamacpp.policy import LlamaCppPolicy
from langchain_qstar.models.llamacpp.streams import Streams
from langchain_qstar.protocols import SampleRequest, State, Step

FIRST: Final = 1000
"""Tokens are counted from here on: those before may be control tokens."""


class LlamaCppRows:
    """The engine over one file, and bare contexts over the same weights."""

    def __init__(self, policy: LlamaCppPolicy, context: int) -> None:
        """Compare rows behind `context` tokens; `policy` is used by nobody else."""
        self._policy = policy
        self._context = context
        self._seeds = 0

    def contexts(self, rows: int) -> list[State]:
        """So many states of different prompts, which the engine holds as if it had read them."""
        prompts = [
            tuple(FIRST + (7 * number + 13 * at) % 3000 for at in range(self._context))
            for number in range(1, rows + 1)
        ]
        # The last token is left for the engine to read, which gives it logits.
        self._ask([_state((*prompts[0], FIRST))], 1)
        self._call(lambda: self._hold(prompts))
        return [_state(prompt) for prompt in prompts]

    def engine(self, states: Sequence[State], tokens: int) -> tuple[float, int]:
        """CPU seconds of so many tokens a row, and how many the model read in them."""
        before = self._policy.counters.forwarded
        start = time.process_time()
        self._ask(states, tokens)
        return time.process_time() - start, self._policy.counters.forwarded - before

    def _ask(self, states: Sequence[State], tokens: int) -> None:
        self._seeds += 1
        self._policy.sample(
            [
                SampleRequest(state, (self._seeds,), stop=(), max_tokens=tokens, temperature=0.8)
                for state in states
            ]
        )

    def _call(self, work: Any) -> Any:
        return self._policy._engine.submit(CallJob(work)).result()

    def _hold(self, prompts: Sequence[tuple[int, ...]]) -> None:
        """Put contexts into the tree, all with the keys and values of one that was read."""
        backend: Any = self._policy._backend
        tree, cells, count = self._policy._scheduler.tree, backend._cells, self._context - 1
        branch = cells.fork([], 0, reading=True)
        for at in range(0, count, cells.context.batch):
            some = range(at, min(at + cells.context.batch, count))
            cells.decode([FIRST] * len(some), list(some), [branch] * len(some), [False] * len(some))
        saved = cells.context.saved(branch)
        (first,) = cells.store(branch, [(0, count)])
        for number, prompt in enumerate(prompts):
            shared = not number or isinstance(cells, Streams)
            stretch = first if shared else _copied(cells, saved, count)
            tree.store(tree.extend(prompt[:count]), Segment(stretch), 0)

    def bare(self, rows: int, *, unified: bool, flash: bool = True) -> BareRows:
        """Rows of their own contexts in a bare context of llama.cpp."""
        backend: Any = self._policy._backend
        model = backend._context.model
        return BareRows(model, rows, self._context, unified=unified, flash=flash)


class BareRows:
    """Rows behind contexts of the same tokens in a context of llama.cpp of their own."""

    def __init__(self, model: Any, rows: int, context: int, *, unified: bool, flash: bool) -> None:
        self._rows, self._at = rows, context
        parameters = library.llama_context_default_params()
        parameters.n_ctx = rows * (context + 120)
        parameters.n_batch, parameters.n_seq_max = 512, rows
        parameters.n_threads = parameters.n_threads_batch = 1
        parameters.kv_unified, parameters.flash_attn_type = unified, int(flash)
        self._pointer = library.llama_init_from_model(model.pointer, parameters)
        self._batch = library.llama_batch_init(512, 0, 1)
        for at in range(0, context, 512):
            self._decode([(0, place) for place in range(at, min(at + 512, context))], wanted=False)
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
        """Give its memory back."""
        library.llama_batch_free(self._batch)
        library.llama_free(self._pointer)


def _copied(cells: Cells, saved: Any, count: int) -> Any:
    """Cells of their own with what was saved of another sequence."""
    branch = cells.fork([], 0)
    cells.context.restore(branch, saved)
    cells._read[branch] += count
    cells._used += count
    (stretch,) = cells.store(branch, [(0, count)])
    return stretch


def _state(ids: tuple[int, ...]) -> State:
    return State("x", (("user", "x"),), (Step("", token_ids=ids),))
