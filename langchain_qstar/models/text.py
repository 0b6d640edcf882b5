"""Between text and token ids: one tokenizer, used from one place.

Text that was generated is never tokenised again; prompts, prefills and foreign
steps are, each on its own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

_CONTEXT: Final = 8
"""Tokens before a piece of text that decide how its first token decodes."""


_TOO_LONG = "sequence-length-is-longer-than-the-specified-maximum"
"""The warning of transformers that is switched off."""


class TextCodec:
    """Encodes prompts and decodes generated tokens with a Hugging Face tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        """Wrap `tokenizer`, which must not be reconfigured afterwards."""
        self.tokenizer = tokenizer
        # Texts longer than the window are our own, one-line `QuestionError`.
        getattr(tokenizer, "deprecation_warnings", {})[_TOO_LONG] = True
        # Fast tokenizers raise "Already borrowed" when threads meet in them.
        self._lock = threading.Lock()
        self.prompt = lru_cache(maxsize=4096)(self._prompt)
        self.encode = lru_cache(maxsize=4096)(self._encode)
        self._table = lru_cache(maxsize=64)(self._build_table)

    def _encode(self, text: str) -> tuple[int, ...]:
        """Ids of `text` alone, without special tokens around it."""
        if not text:
            return ()
        with self._lock:
            return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _prompt(self, messages: tuple[tuple[str, str], ...]) -> tuple[int, ...]:
        """Ids of the rendered chat, ready for the assistant's first token.

        Without a chat template the contents are joined by blank lines and the
        tokenizer adds its own start token, if it has one.
        """
        if getattr(self.tokenizer, "chat_template", None):
            chat = [{"role": role, "content": content} for role, content in messages]
            with self._lock:
                text = self.tokenizer.apply_chat_template(
                    chat, tokenize=False, add_generation_prompt=True
                )
                return tuple(self.tokenizer.encode(text, add_special_tokens=False))
        text = "\n\n".join(content for _, content in messages) + "\n"
        with self._lock:
            return tuple(self.tokenizer.encode(text))

    def decode(self, ids: Sequence[int], after: Sequence[int] = ()) -> str:
        """Text of `ids` as it reads after the tokens `after`.

        SentencePiece drops the space of a first token, so the text is the
        difference between decoding with and without the tokens before it.
        """
        before = list(after[-_CONTEXT:])
        with self._lock:
            head = self._decode(before)
            text = self._decode(before + list(ids))
            return text[len(head) :] if text.startswith(head) else self._decode(list(ids))

    def _decode(self, ids: list[int]) -> str:
        decoded: str = self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return decoded

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """The text each token adds; joined, they are the text of `ids`."""
        whole = self.decode(ids)
        alone = [self.decode([token]) for token in ids]
        if "".join(alone) == whole:
            return alone
        # Tokens that decode only together: see how the text grows.
        texts, seen = [], 0
        for count in range(1, len(ids) + 1):
            text = whole if count == len(ids) else self.decode(ids[:count]).rstrip("\ufffd")
            texts.append(text[seen:])
            seen = max(seen, len(text))
        return texts

    def may_complete(self, stop: tuple[str, ...], size: int) -> np.ndarray[Any, Any]:
        """Which tokens could end one of the `stop` strings: bool [size].

        A token may complete a stop string only if its text holds the string's
        last character, or is part of a character. Everything else needs no
        decoding at all.
        """
        return self._table(tuple(sorted({text[-1] for text in stop if text})), size)

    def _build_table(self, last: tuple[str, ...], size: int) -> np.ndarray[Any, Any]:
        table = np.zeros(size, dtype=bool)
        if not last:
            return table
        for token, (raw, piece) in enumerate(self._pieces()[:size]):
            table[token] = (
                "\ufffd" in piece
                or any(character in piece for character in last)
                or (" " in last and raw.startswith("\u2581"))
            )
        return table

    def _pieces(self) -> list[tuple[str, str]]:
        """The raw token and the text of every id, in order."""
        with self._lock:
            ids = list(range(len(self.tokenizer)))
            raw = self.tokenizer.convert_ids_to_tokens(ids)
            return [
                (str(token or ""), self._decode([token_id]))
                for token_id, token in zip(ids, raw, strict=True)
            ]

    def cut_at_stop(
        self, ids: list[int], stop: tuple[str, ...], after: Sequence[int]
    ) -> tuple[str, list[int], list[int]] | None:
        """Find the stop string that the last token of `ids` completed.

        The text is cut where the earliest-ending stop string ends. When that
        is inside a token, the token is left out and the text of it that
        belongs to the step is tokenised alone, so that ids and text agree.

        Returns:
            None when no stop string is there; else the text, the ids kept, and
            the ids that stand for the kept part of a cut token (often none).
        """
        text = self.decode(ids, after)
        ends = [at + len(mark) for mark in stop if mark and (at := text.find(mark)) >= 0]
        if not ends:
            return None
        end = min(ends)
        if end == len(text):
            return text, ids, []
        kept = len(ids) - 1
        while kept and not text.startswith(self.decode(ids[:kept], after)):
            kept -= 1  # the tokens of one character decode only together
        # An earlier token cannot reach past the end: it would have been found then.
        rest = text[len(self.decode(ids[:kept], after)) : end]
        return text[:end], ids[:kept], list(self.encode(rest))
