"""Grammars that a completion must follow, asked before every token what may come next.

The parser is llguidance; which tokens spell which text comes from the model's own
tokenizer. What follows a grammar is guaranteed, what is sensible is not: the model
chooses among the tokens that are allowed.

It does not: end a text. When the grammar is satisfied, the end token is allowed; when
nothing else can follow, it is the only one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from langchain_qstar.errors import GrammarError, MissingExtraError
from langchain_qstar.models.engine.backend import Bools
from langchain_qstar.models.grammar_text import one_line, source_of

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer


class Matcher:
    """How far one completion has come in its grammar."""

    def __init__(self, state: LLMatcher, vocabulary: int) -> None:
        """Follow a grammar from `state` on, for a model with `vocabulary` tokens."""
        self._state = state
        self._vocabulary = vocabulary

    def allowed(self) -> Bools:
        """Which tokens may come next: bool [vocabulary], never none of them."""
        packed = np.frombuffer(self._state.compute_bitmask(), dtype=np.uint8)
        bits = np.unpackbits(packed, count=self._vocabulary, bitorder="little")
        return bits.view(np.bool_)

    def take(self, token: int) -> None:
        """Go on by a drawn token."""
        self._state.consume_token(token)


@dataclass(frozen=True, slots=True)
class Grammar:
    """A grammar that was understood; see `Grammars.compile`."""

    start: LLMatcher
    vocabulary: int

    def matcher(self) -> Matcher:
        """A completion at its beginning."""
        return Matcher(self.start.deep_copy(), self.vocabulary)


class Grammars:
    """Makes grammars for one model. Compiled ones are kept."""

    def __init__(self, tokenizer: Callable[[], LLTokenizer], vocabulary: int) -> None:
        """Make grammars for a model with `vocabulary` outputs.

        Args:
            tokenizer: Makes the tokenizer of llguidance; called once, when the
                first grammar is asked for.
            vocabulary: The size of the model's output.
        """
        self._make_tokenizer = tokenizer
        self._tokenizer: LLTokenizer | None = None
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self.compile = lru_cache(maxsize=256)(self._compile)

    def _compile(self, text: str) -> Grammar:
        """Understand a grammar; see `SampleRequest.grammar`.

        Raises:
            GrammarError: It cannot be enforced.
            MissingExtraError: llguidance is not installed.
        """
        try:
            from llguidance import LLMatcher
        except ImportError as error:
            raise MissingExtraError("llguidance", "transformers") from error
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = self._make_tokenizer()
            tokenizer = self._tokenizer
        source = source_of(text)
        refused, messages = LLMatcher.validate_grammar_with_warnings(source, tokenizer)
        if refused:
            raise GrammarError(f"the grammar cannot be enforced: {one_line(messages[0])}")
        start = LLMatcher(tokenizer, source, log_level=0)
        if start.is_error():
            raise GrammarError(f"the grammar cannot be enforced: {one_line(start.get_error())}")
        return Grammar(start, self._vocabulary)
