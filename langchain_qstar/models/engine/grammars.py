"""Grammars that a completion must follow, asked before every token what may come next.

The parser is llguidance; which tokens spell which text comes from the model's own
tokenizer. What follows a grammar is guaranteed, what is sensible is not: the model
chooses among the tokens that are allowed.

It does not: end a text. When the grammar is satisfied, the end token is allowed; when
nothing else can follow, it is the only one.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from langchain_qstar.errors import GrammarError, MissingExtraError
from langchain_qstar.models.engine.backend import Bools

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions

COMPACT: Final[JsonCompileOptions] = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
"""How JSON is written where a schema does not say: on one line, so that a model cannot
fill its answer with white space."""

_RULE: Final = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)
_LONGEST: Final = 200
"""Characters of llguidance's own words in an error."""


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
        source = _source(text)
        refused, messages = LLMatcher.validate_grammar_with_warnings(source, tokenizer)
        if refused:
            raise GrammarError(f"the grammar cannot be enforced: {_one_line(messages[0])}")
        start = LLMatcher(tokenizer, source, log_level=0)
        if start.is_error():
            raise GrammarError(f"the grammar cannot be enforced: {_one_line(start.get_error())}")
        return Grammar(start, self._vocabulary)


def _source(text: str) -> str:
    """The grammar as llguidance takes it."""
    from llguidance import LLMatcher
    from llguidance.gbnf_to_lark import gbnf_to_lark

    if text.lstrip().startswith("{"):
        try:
            schema = json.loads(text)
        except ValueError as error:
            raise GrammarError(f"the grammar begins like a JSON schema, but: {error}") from error
        return LLMatcher.grammar_from_json_schema(schema, COMPACT)
    if not text.strip():
        raise GrammarError("the grammar is empty; give None for no grammar")
    if _RULE.search(text):
        try:
            text = gbnf_to_lark(text)
        except Exception as error:  # it raises bare ones
            raise GrammarError(f"the grammar is not GBNF: {_one_line(str(error))}") from error
    return LLMatcher.grammar_from_lark(text)


def _one_line(message: str) -> str:
    return " ".join(message.split())[:_LONGEST]
