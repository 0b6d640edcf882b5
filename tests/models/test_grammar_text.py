from __future__ import annotations

import json

import pytest

from langchain_qstar.errors import GrammarError
from langchain_qstar.models.grammar_text import HINTS, notation_of, schema_in, source_of


@pytest.mark.parametrize(
    ("text", "notation"),
    [
        ('{"type": "string"}', "JSON schema"),
        ("  {", "JSON schema"),
        ('root ::= "yes"', "GBNF"),
        ("# a comment\nother-rule ::= [0-9]\nroot::=other-rule", "GBNF"),
        ('start: "yes"', "Lark"),
        ('start: "a ::= b"', "Lark"),
    ],
)
def test_a_notation_is_told_by_how_it_looks(text, notation):
    assert notation_of(text) == notation


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_grammar_is_none(text):
    with pytest.raises(GrammarError, match="is empty"):
        notation_of(text)


def test_a_schema_is_read_with_the_hints_for_local_models():
    schema = {"type": "integer", HINTS: {"lenient": True}}
    assert schema_in(json.dumps(schema)) == schema
    with pytest.raises(GrammarError, match="begins like a JSON schema, but"):
        schema_in("{1}")


@pytest.mark.parametrize("text", ['root ::= "yes" | "no"', 'start: "yes"', '{"enum": [1]}'])
def test_llguidance_understands_what_comes_out(text):
    matcher = pytest.importorskip("llguidance").LLMatcher
    assert not matcher.validate_grammar(source_of(text))
