"""The vocabulary of a GGUF file with the methods that `TextCodec` uses of transformers.

The tokens are llama.cpp's own reading of the vocabulary.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

from langchain_qstar.models.llamacpp.loading import GGUFModel, library

_LONGEST_PIECE: Final = 512
_PARSE_CONTROL: Final = True
"""A chat template writes control tokens as text."""


class GGUFTokenizer:
    """Encodes and decodes by the vocabulary of a model."""

    def __init__(self, model: GGUFModel) -> None:
        """Read the vocabulary of `model`."""
        self._model = model
        self._vocabulary = model.vocabulary
        self.chat_template = model.chat_template

    def __len__(self) -> int:
        return self._model.tokens

    @property
    def eos_token_id(self) -> int | None:
        """The token that ends a text, if there is one."""
        token = int(library.llama_vocab_eos(self._vocabulary))
        return None if token < 0 else token

    @property
    def end_tokens(self) -> list[int]:
        """Every token that ends a generation: of the text, of the turn, of the message."""
        is_end = library.llama_vocab_is_eog
        return [token for token in range(len(self)) if is_end(self._vocabulary, token)]

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Ids of `text`, with the start token if the model wants one and it is asked for."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8  # a token has at least a byte
        ids = (library.llama_token * room)()
        count = library.llama_tokenize(
            self._vocabulary, data, len(data), ids, room, add_special_tokens, _PARSE_CONTROL
        )
        return list(ids[: max(0, count)])

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False, **_: Any) -> str:
        """Text of `ids`, with the names of control tokens unless they are skipped."""
        pieces = self.spelling if skip_special_tokens else self._spelling_and_names
        return b"".join([pieces[token] for token in ids]).decode("utf-8", "replace")

    def convert_ids_to_tokens(self, ids: int | Sequence[int]) -> Any:
        """The names of tokens, as the vocabulary spells them."""
        return self._names[ids] if isinstance(ids, int) else [self._names[token] for token in ids]

    def convert_tokens_to_ids(self, name: str) -> int | None:
        """The token of this name, if there is one."""
        spelled, text = name.encode(), library.llama_vocab_get_text
        tokens = range(len(self))
        return next((each for each in tokens if text(self._vocabulary, each) == spelled), None)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The tokens that begin and end a text, as chat templates write them."""
        bos, eos = (
            self._name_of(number(self._vocabulary))
            for number in (library.llama_vocab_bos, library.llama_vocab_eos)
        )
        return {"bos_token": bos, "eos_token": eos}

    def _name_of(self, token: int) -> str:
        if token < 0:
            return ""
        name: bytes = library.llama_vocab_get_text(self._vocabulary, token)
        return name.decode("utf-8", "replace")

    @cached_property
    def _names(self) -> list[str]:
        # Of a large vocabulary many megabytes: only for who asks for more than a few.
        return [self._name_of(token) for token in range(len(self))]

    @cached_property
    def control_tokens(self) -> list[str]:
        """How control tokens are spelled."""
        is_control = library.llama_vocab_is_control
        numbers = [token for token in range(len(self)) if is_control(self._vocabulary, token)]
        return [self._name_of(token) for token in numbers]

    @cached_property
    def spelling(self) -> list[bytes]:
        """The bytes of every token; control tokens have none."""
        return self._spelled(control=False)

    @cached_property
    def _spelling_and_names(self) -> list[bytes]:
        return self._spelled(control=True)

    def _spelled(self, *, control: bool) -> list[bytes]:
        """The bytes of every token; control tokens have none unless `control`."""
        room = ctypes.create_string_buffer(_LONGEST_PIECE)
        pieces = []
        for token in range(len(self)):
            size = library.llama_token_to_piece(
                self._vocabulary, token, room, len(room), 0, control
            )
            pieces.append(room.raw[: max(0, size)])
        return pieces
