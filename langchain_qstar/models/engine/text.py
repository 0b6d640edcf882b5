"""Between text and token ids: one tokenizer, used from one place.

Text that was generated is never tokenised again; prompts, prefills and foreign
steps are, each on its own. Thoughts are recognised by `<think>` and `</think>`, as single
tokens where the tokenizer has them, as in Qwen3 and DeepSeek-R1, and by their text elsewhere.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from langchain_qstar.models.chat_template import PLAIN, ChatRenderer, template_text
from langchain_qstar.models.engine.control_tokens import ControlTokens, control_tokens_of
from langchain_qstar.protocols import TextEnd
from langchain_qstar.stepping.thinking import CLOSED, CLOSING, OPENING

Message: TypeAlias = Mapping[str, Any]
"""A message as chat templates read it: `role`, `content`, and for tools `tool_calls` and more."""

_CONTEXT: Final = 8
"""Tokens before a piece of text that decide how its first token decodes."""


_THINK_TAGS: Final = (OPENING, CLOSING)
_SPELLED: Final = 16
"""Most tokens that spell a tag."""

_BYTE: Final = re.compile(r"<0x([0-9A-Fa-f]{2})>")
"""A token that stands for one byte, in tokenizers of SentencePiece."""

_BROKEN: Final = "\ufffd"
"""What a part of a character decodes to."""

_TOO_LONG = "sequence-length-is-longer-than-the-specified-maximum"
"""The warning of transformers that is switched off."""


class TextCodec:
    """Encodes prompts and decodes generated tokens with a Hugging Face tokenizer."""

    def __init__(self, tokenizer: Any, chat_template: str | Path | None = None) -> None:
        """Wrap `tokenizer`, which must not be reconfigured afterwards.

        Args:
            tokenizer: Of transformers.
            chat_template: To use instead of the tokenizer's own: what `template_text`
                reads. A tokenizer without one is of a model without chat training, and
                the messages are joined as text (`PLAIN`).

        Raises:
            ModelSpecError: The given template is none.
        """
        self.tokenizer = tokenizer
        given = None if chat_template is None else template_text(chat_template)
        own = getattr(tokenizer, "chat_template", None)
        self.lacks_template = not (given or own)
        """Whether there is a chat template neither of the model's own nor given."""
        self._template = given or own or PLAIN
        # Texts longer than the window are our own, one-line `QuestionError`.
        getattr(tokenizer, "deprecation_warnings", {})[_TOO_LONG] = True
        # Fast tokenizers raise "Already borrowed" when threads meet in them.
        self._lock = threading.Lock()
        self._renderers: dict[str, ChatRenderer] = {}
        self.controls = ControlTokens(
            [name for name in control_tokens_of(tokenizer) if name not in _THINK_TAGS]
        )
        self.prompt = lru_cache(maxsize=4096)(self._prompt)
        self.encode = lru_cache(maxsize=4096)(self._encode)
        self._table = lru_cache(maxsize=64)(self._build_table)

    def _encode(self, text: str) -> tuple[int, ...]:
        """Ids of `text` alone; what spells a control token is text in it, whoever wrote it."""
        return self.controls.ids(text, self.markup)

    def markup(self, text: str) -> tuple[int, ...]:
        """Ids of a text of ours, in which control tokens may be spelled."""
        if not text:
            return ()
        with self._lock:
            return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _prompt(
        self,
        messages: tuple[tuple[str, str], ...],
        thinking: bool = False,  # noqa: FBT001, FBT002
    ) -> tuple[int, ...]:
        """Ids of the rendered chat, ready for the assistant's next token.

        A last message of the role `assistant` is continued. Under `PLAIN` the
        contents are joined by blank lines and the tokenizer adds its own start
        token, if it has one.

        Args:
            messages: (role, content) pairs.
            thinking: Whether the model may think before it answers, where its
                template has a switch for that or opens a thought by itself.
        """
        chat = [{"role": role, "content": content} for role, content in messages]
        return self.chat(chat, thinking=thinking)

    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        *,
        thinking: bool = False,
    ) -> tuple[int, ...]:
        """As `prompt`, for messages of any shape that the template knows, and with tools.

        Args:
            messages: Messages as the template reads them.
            tools: Tools by their JSON schemas, for a template that `shows_tools`.
            thinking: As for `prompt`.

        Raises:
            ModelSpecError: The template refuses the messages.
        """
        if self._template == PLAIN:
            return self.document("\n\n".join(str(each["content"]) for each in messages) + "\n")
        (messages, tools), hidden = self.controls.hide([list(messages), list(tools)])
        text = self.rendered(messages, tools, thinking=thinking)
        if not thinking and text.rstrip().endswith(_THINK_TAGS[0]):
            text = text.rstrip() + CLOSED
        return self.controls.shown(text, hidden, self.markup)

    def document(self, text: str) -> tuple[int, ...]:
        """Ids of a text that begins there, with the tokenizer's start token if it has one.

        What spells a control token is text in it.
        """
        with self._lock:
            if text not in self.controls:
                return tuple(self.tokenizer.encode(text))
            started = self.tokenizer.encode("a")
        bare = self.encode("a")
        return (*started[: len(started) - len(bare)], *self.encode(text))

    @property
    def chats(self) -> bool:
        """Whether there is a template of chats."""
        return bool(self._template != PLAIN)

    @property
    def shows_tools(self) -> bool:
        """Whether the chat template has a place for tools."""
        return self._template != PLAIN and "tools" in str(self._template)

    def rendered(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        *,
        thinking: bool = False,
        open_ended: bool = True,
    ) -> str:
        """The text of a chat by its template, which must not be `PLAIN`.

        Args:
            messages: Messages as the template reads them.
            tools: Tools by their JSON schemas.
            thinking: As for `prompt`.
            open_ended: Whether the assistant is to write next; where it has the
                last message already, it goes on with that.

        Raises:
            ModelSpecError: The template refuses the messages.
        """
        return self._renderer(bool(tools)).render(
            messages, tools, thinking=thinking, open_ended=open_ended
        )

    def _renderer(self, tools: bool) -> ChatRenderer:  # noqa: FBT001
        """What renders chats, with tools or without; some models have a template for each."""
        template = self._template
        if not isinstance(template, str):
            named = dict(template)
            first = next(iter(named.values()))
            template = (named.get("tool_use") if tools else None) or named.get("default", first)
        if template not in self._renderers:
            tokens = getattr(self.tokenizer, "special_tokens_map", {})
            self._renderers[template] = ChatRenderer(template, tokens)
        return self._renderers[template]

    @cached_property
    def think_tags(self) -> tuple[int, int] | None:
        """The tokens that begin and end a thought, if the tokenizer has them."""
        ids = [self.tokenizer.convert_tokens_to_ids(tag) for tag in _THINK_TAGS]
        known = [
            number is not None and self.tokenizer.convert_ids_to_tokens(number) == tag
            for number, tag in zip(ids, _THINK_TAGS, strict=True)
        ]
        return (int(ids[0]), int(ids[1])) if all(known) else None

    def in_thought(self, prompt: Sequence[int]) -> bool:
        """Whether `prompt` leaves a thought open."""
        if self.think_tags is None:
            return self.decode(prompt[-_SPELLED:]).rstrip().endswith(OPENING)
        for token in reversed(prompt):
            if token in self.think_tags:
                return bool(token == self.think_tags[0])
        return False

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

    def grammar_tokenizer(self, vocabulary: int, eos: Sequence[int]) -> Any:
        """This tokenizer for llguidance, which allows `eos` where a text may end.

        It takes what the `tokenizers` library made as it is. Others may have a
        `spelling`, the bytes of every token; else it learns the text of every
        token, and tokens that are parts of characters are left out unless they
        are written `<0xNN>`.
        """
        from llguidance import LLTokenizer, TokenizerWrapper
        from llguidance.hf import from_tokenizer

        ends = [token for token in eos if token < vocabulary]
        if hasattr(self.tokenizer, "backend_tokenizer"):
            with self._lock:
                return from_tokenizer(self.tokenizer, n_vocab=vocabulary, eos_token=ends)
        spelling = getattr(self.tokenizer, "spelling", None)
        tokens = spelling or [_bytes_of(*piece) for piece in self._pieces()]
        spelled = SpelledTokenizer(tokens, ends, self.encode)
        return LLTokenizer(TokenizerWrapper(spelled), n_vocab=vocabulary, eos_token=ends)

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

    def spelled(self, token: int) -> tuple[str, bool]:
        """One token by itself: its text, or its name where it has none; and whether it is text."""
        with self._lock:
            name, text = self.tokenizer.convert_ids_to_tokens(token), self._decode([token])
        if not text or _BROKEN in text:
            return str(name), False
        return _bytes_of(str(name), text).decode(), True

    def may_complete(self, stop: tuple[str, ...], size: int) -> np.ndarray[Any, Any]:
        """Which tokens could end one of the `stop` strings: bool [size].

        A token may complete a stop string only if its text holds the string's
        last character, or is part of a character. Everything else needs no
        decoding at all.
        """
        return self._table(tuple(sorted({text[-1] for text in stop if text})), size)

    def _build_table(self, last: tuple[str, ...], size: int) -> np.ndarray[Any, Any]:
        table = np.zeros(max(size, len(self.tokenizer)), dtype=bool)
        if last:
            characters, owners, spaced = self._characters
            ends = [ord(character) for character in (_BROKEN, *last)]
            table[owners[np.isin(characters, ends)]] = True
            if " " in last:
                table[spaced] = True
        return table[:size]

    @cached_property
    def _characters(self) -> tuple[np.ndarray[Any, Any], ...]:
        """The characters of all tokens one after the other, by number, and whose each is.

        Also which tokens are written with a space before them that they lose when
        they stand alone.
        """
        pieces = self._pieces()
        text = "".join(piece for _, piece in pieces)
        owners = np.repeat(np.arange(len(pieces)), [len(piece) for _, piece in pieces])
        spaced = [token for token, (raw, _) in enumerate(pieces) if raw.startswith("\u2581")]
        characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        return characters, owners, np.array(spaced, dtype=np.int64)

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
        self,
        ids: list[int],
        stop: tuple[str, ...],
        after: Sequence[int],
        ends: TextEnd | None = None,
    ) -> tuple[str, list[int], list[int]] | None:
        """Find where the last token of `ids` ended the text: a stop string, or what `ends` says.

        The text is cut at the earliest end. When that
        is inside a token, the token is left out and the text of it that
        belongs to the step is tokenised alone, so that ids and text agree.

        Returns:
            None when the text has not ended; else the text, the ids kept, and
            the ids that stand for the kept part of a cut token (often none).
        """
        text = self.decode(ids, after)
        found = [at + len(mark) for mark in stop if mark and (at := text.find(mark)) >= 0]
        if ends is not None and (place := ends(text)):
            found.append(place)
        if not found:
            return None
        end = min(found)
        if end == len(text):
            return text, ids, []
        kept = len(ids) - 1
        while kept and not text.startswith(self.decode(ids[:kept], after)):
            kept -= 1  # the tokens of one character decode only together
        # An earlier token cannot reach past the end: it would have been found then.
        rest = text[len(self.decode(ids[:kept], after)) : end]
        return text[:end], ids[:kept], list(self.encode(rest))


class SpelledTokenizer:
    """What llguidance asks of a tokenizer that the `tokenizers` library did not make."""

    def __init__(
        self, tokens: list[bytes], eos: Sequence[int], encode: Callable[[str], Sequence[int]]
    ) -> None:
        """Say how every token is spelled; one that spells nothing is never drawn."""
        self.tokens = tokens
        self.eos_token_id = eos[0]
        self.bos_token_id = None
        self.special_token_ids = list(eos)
        self._encode = encode

    def __call__(self, text: str) -> list[int]:
        """Ids of `text`."""
        return list(self._encode(text))


def _bytes_of(raw: str, piece: str) -> bytes:
    """How a token is spelled, as far as its text tells."""
    if byte := _BYTE.fullmatch(raw):
        return bytes([int(byte[1], 16)])
    if "\ufffd" in piece:
        return b""
    spaced = raw.startswith("\u2581") and not piece.startswith(" ")
    return (" " * spaced + piece).encode()
