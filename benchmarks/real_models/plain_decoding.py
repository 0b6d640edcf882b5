"""Greedy decoding over bare `llama_decode`, with no code of this package's engine.

Every row has a sequence and a part of the memory of its own. What all prompts begin with is
read once and copied; a row that ends makes room for the next prompt at once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import llama_cpp
import numpy as np
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

lib: Final[Any] = llama_cpp
"""ctypes means nothing to a type checker."""

BATCH: Final = 512


@dataclass(frozen=True)
class Written:
    """One text: its number among the prompts, tokens it took, and whether it was cut."""

    number: int
    text: str
    tokens: int
    finish: str
    """`eos`, `stop` (the stop string, which is not in the text) or `length`."""


@dataclass
class _Row:
    """A text that is being written."""

    number: int
    length: int
    """Tokens in memory."""
    tokens: list[int] = field(default_factory=list)


class BareModel:
    """A GGUF model in llama.cpp, one thread."""

    def __init__(self, file: Path) -> None:
        logging.getLogger("llama-cpp-python").setLevel(logging.CRITICAL + 1)
        lib.llama_backend_init()
        parameters = lib.llama_model_default_params()
        # llama.cpp 0.3.36 crashes where it lays weights out for AMX.
        parameters.use_extra_bufts = b"AMX_INT8 = 1" not in lib.llama_print_system_info()
        self.pointer = lib.llama_model_load_from_file(os.fsencode(file), parameters)
        assert self.pointer, f"llama.cpp cannot load {file}"
        self.vocabulary = lib.llama_model_get_vocab(self.pointer)
        self.size = int(lib.llama_vocab_n_tokens(self.vocabulary))

    def tokenized(self, text: str, *, chat: bool) -> list[int]:
        """Ids of a text; of a chat its control tokens, and no second token to begin with."""
        data = text.encode()
        begins = not (chat and text.startswith(self._name(lib.llama_vocab_bos(self.vocabulary))))
        ids = (lib.llama_token * (len(data) + 8))()
        count = lib.llama_tokenize(self.vocabulary, data, len(data), ids, len(ids), begins, chat)
        return list(ids[:count])

    def chat(self, messages: Sequence[tuple[str, str]]) -> str:
        """Messages as text by the template of the file."""
        template = lib.llama_model_chat_template(self.pointer, None)
        formatter = Jinja2ChatFormatter(
            template.decode(),
            eos_token=self._name(lib.llama_vocab_eos(self.vocabulary)),
            bos_token=self._name(lib.llama_vocab_bos(self.vocabulary)),
        )
        chat: Any = [{"role": role, "content": content} for role, content in messages]
        return str(formatter(messages=chat).prompt)

    def _name(self, token: int) -> str:
        return "\0" if token < 0 else lib.llama_vocab_get_text(self.vocabulary, token).decode()

    def piece(self, token: int) -> bytes:
        """The bytes of a token; control tokens have none."""
        room = lib.ctypes.create_string_buffer(512)
        told = {"lstrip": 0, "special": False}
        size = lib.llama_token_to_piece(self.vocabulary, token, room, len(room), *told.values())
        return bytes(room.raw[: max(0, size)])

    def ends(self, token: int) -> bool:
        """Whether a token ends a text."""
        return bool(lib.llama_vocab_is_eog(self.vocabulary, token))

    def write(
        self, prompts: Sequence[Sequence[int]], *, rows: int, most: int, stops: Sequence[str] = ()
    ) -> Iterator[Written]:
        """The likeliest continuation of every prompt, each as soon as it has ended.

        Args:
            prompts: Ids.
            rows: How many are written at once.
            most: Tokens of one text.
            stops: What a text is cut before.
        """
        shared = _shared(prompts)
        limits = most, [stop.encode() for stop in stops]
        room = max(map(len, prompts)) + most
        memory = _Memory(self, min(rows, len(prompts)), room)
        try:
            memory.share(list(prompts[0][:shared]))
            yield from _written(self, memory, prompts, shared, limits)
        finally:
            memory.close()


def _shared(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; one at least is left for each to read."""
    same = (len(set(column)) == 1 for column in zip(*prompts, strict=False))
    return min(sum(takewhile(bool, same)), *(len(prompt) - 1 for prompt in prompts))


def _written(
    model: BareModel,
    memory: _Memory,
    prompts: Sequence[Sequence[int]],
    shared: int,
    limits: tuple[int, list[bytes]],
) -> Iterator[Written]:
    waiting = list(enumerate(prompts))[::-1]
    running: dict[int, _Row] = {}
    while waiting or running:
        for place in range(memory.rows):
            if place in running or not waiting:
                continue
            number, prompt = waiting.pop()
            first = memory.restart(place, list(prompt), shared)
            running[place] = _Row(number, len(prompt), [first])
        for place, row in list(running.items()):
            ended = _ended(model, row, *limits)
            if ended:
                del running[place]
                yield ended
        places = list(running)
        lasts = [(place, running[place].length, running[place].tokens[-1]) for place in places]
        for place, token in zip(places, memory.step(lasts), strict=True):
            running[place].length += 1
            running[place].tokens.append(token)


def _ended(model: BareModel, row: _Row, most: int, stops: list[bytes]) -> Written | None:
    """The text of a row, if its last token ended it."""
    eos = model.ends(row.tokens[-1])
    tail = b"".join(map(model.piece, row.tokens[-8:]))
    stopped = any(stop in tail for stop in stops)
    if not (eos or stopped or len(row.tokens) >= most):
        return None
    data = b"".join(map(model.piece, row.tokens))
    end = min((data.index(stop) for stop in stops if stop in data), default=len(data))
    text = data[:end].decode("utf-8", "replace")
    finish = "eos" if eos else "stop" if stopped else "length"
    return Written(row.number, text, len(row.tokens), finish)


class _Memory:
    """A context of llama.cpp with a part for each row."""

    def __init__(self, model: BareModel, rows: int, room: int) -> None:
        parameters = lib.llama_context_default_params()
        each = -(-room // 256) * 256
        parameters.n_ctx, parameters.n_seq_max = rows * each, rows
        parameters.n_batch = parameters.n_ubatch = BATCH
        parameters.n_threads = parameters.n_threads_batch = 1
        parameters.kv_unified = False
        self.rows, self._size = rows, model.size
        self._context = lib.llama_init_from_model(model.pointer, parameters)
        assert self._context, "llama.cpp makes no context"
        self._cells = lib.llama_get_memory(self._context)
        self._batch = lib.llama_batch_init(BATCH, 0, 1)

    def share(self, tokens: list[int]) -> None:
        """Read what all prompts begin with, into every row."""
        if tokens:
            self._read(0, 0, tokens)
            for row in range(1, self.rows):
                lib.llama_memory_seq_cp(self._cells, 0, row, -1, -1)

    def restart(self, row: int, prompt: list[int], kept: int) -> int:
        """Read a prompt into a row that holds `kept` of it; the likeliest next token."""
        lib.llama_memory_seq_rm(self._cells, row, kept, -1)
        return self._read(row, kept, prompt[kept:])

    def _read(self, row: int, start: int, tokens: list[int]) -> int:
        last = 0
        for offset in range(0, len(tokens), BATCH):
            part = tokens[offset : offset + BATCH]
            places = [(row, start + offset + n, token) for n, token in enumerate(part)]
            last = self._decode(places, [len(part) - 1])[0]
        return last

    def step(self, places: Sequence[tuple[int, int, int]]) -> list[int]:
        """The likeliest tokens after one of each row: (row, position, token)."""
        return self._decode(places, list(range(len(places)))) if places else []

    def _decode(self, places: Sequence[tuple[int, int, int]], wanted: list[int]) -> list[int]:
        batch = self._batch
        for number, (row, position, token) in enumerate(places):
            batch.token[number], batch.pos[number] = token, position
            batch.n_seq_id[number], batch.seq_id[number][0] = 1, row
            batch.logits[number] = number in wanted
        batch.n_tokens = len(places)
        code = lib.llama_decode(self._context, batch)
        assert code == 0, f"llama_decode returned {code}"
        return [
            int(np.ctypeslib.as_array(self._logits(number), (self._size,)).argmax())
            for number in wanted
        ]

    def _logits(self, number: int) -> Any:
        return lib.llama_get_logits_ith(self._context, number)

    def close(self) -> None:
        """Free it."""
        lib.llama_batch_free(self._batch)
        lib.llama_free(self._context)
