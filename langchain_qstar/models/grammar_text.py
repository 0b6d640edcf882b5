"""A grammar as text: in which of three notations it is, and what llguidance makes of it.

It does not say whether a grammar is a good one for a model, nor run one.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from langchain_qstar.errors import GrammarError

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

Notation: TypeAlias = Literal["JSON schema", "GBNF", "Lark"]

COMPACT: Final[JsonCompileOptions] = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
"""How JSON is written where a schema does not say: on one line, so that a model cannot
fill its answer with white space."""

HINTS: Final = "x-guidance"
"""The key of a schema under which llguidance, and nobody else, looks for its options."""

_RULE: Final = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)
_LONGEST: Final = 200
"""Characters of llguidance's own words in an error."""


def notation_of(text: str) -> Notation:
    """In which notation a grammar is; see `SampleRequest.grammar`.

    Raises:
        GrammarError: It is empty.
    """
    if not text.strip():
        raise GrammarError("the grammar is empty; give None for no grammar")
    if text.lstrip().startswith("{"):
        return "JSON schema"
    return "GBNF" if _RULE.search(text) else "Lark"


def schema_in(text: str) -> dict[str, Any]:
    """The JSON schema that a grammar is.

    Raises:
        GrammarError: It only begins like one.
    """
    try:
        schema: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise GrammarError(f"the grammar begins like a JSON schema, but: {error}") from error
    return schema


def source_of(text: str) -> str:
    """The grammar as llguidance, which must be installed, takes it.

    Raises:
        GrammarError: It is empty, or not what it looks like.
    """
    from llguidance import LLMatcher
    from llguidance.gbnf_to_lark import gbnf_to_lark

    notation = notation_of(text)
    if notation == "JSON schema":
        return LLMatcher.grammar_from_json_schema(schema_in(text), COMPACT)
    if notation == "GBNF":
        try:
            text = gbnf_to_lark(text)
        except Exception as error:  # it raises bare ones
            raise GrammarError(f"the grammar is not GBNF: {one_line(str(error))}") from error
    return LLMatcher.grammar_from_lark(text)


def one_line(message: str) -> str:
    """A message of llguidance, on one line and not too long."""
    return " ".join(message.split())[:_LONGEST]
