from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar import GrammarError
from langchain_qstar.models.engine.grammars import Grammars
from langchain_qstar.models.engine.text import TextCodec

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def codec(make_tokenizer):
    return TextCodec(make_tokenizer("ab", '"}'))


@pytest.fixture(scope="module")
def grammars(codec):
    size = len(codec.tokenizer)
    return Grammars(lambda: codec.grammar_tokenizer(size, [0]), size)


def follows(codec, grammar, text):
    """Whether every token of a text is allowed in its turn, and then the end token."""
    matcher = grammar.matcher()
    for token in (*codec.encode(text), 0):
        if not matcher.allowed()[token]:
            return False
        matcher.take(token)
    return True


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        ('root ::= "yes" | "no"', "no", "maybe"),
        ("start: /[a-c]{2}/", "ab", "abc"),
        (json.dumps(PERSON), '{"name": "Ann", "age": 7}', '{"name": "Ann"}'),
        (json.dumps(PERSON), '{"name": "Ä€", "age": -3}', '{"name": "Ann", "age": 7.5}'),
        ('{"enum": ["a", 1]}', "1", "2"),
    ],
)
def test_gbnf_lark_and_json_schemas_are_understood(codec, grammars, grammar, good, bad):
    made = grammars.compile(grammar)
    assert follows(codec, made, good)
    assert not follows(codec, made, bad)


def test_json_is_written_on_one_line(codec, grammars):
    made = grammars.compile(json.dumps(PERSON))
    assert not follows(codec, made, '{\n"name": "Ann", "age": 7}')
    assert not follows(codec, made, '{"name":"Ann","age":7}')


def test_a_schema_may_say_how_its_json_is_written(codec, grammars):
    spaced = PERSON | {"x-guidance": {"whitespace_flexible": True}}
    made = grammars.compile(json.dumps(spaced))
    assert follows(codec, made, '{\n"name": "Ann", "age": 7}')


def test_a_free_text_may_be_spelled_by_any_tokens_and_a_forced_one_by_its_own(codec, grammars):
    def first(grammar):
        return [
            codec.decode([n]) for n in grammars.compile(grammar).matcher().allowed().nonzero()[0]
        ]

    assert first("root ::= [a-b]+") == ["a", "b", "ab"]
    assert first('root ::= "abab"') == ["ab"]


def test_one_completion_does_not_move_another(grammars):
    made = grammars.compile('root ::= "abc"')
    moved, other = made.matcher(), made.matcher()
    before = other.allowed().copy()
    moved.take(int(before.argmax()))
    assert (other.allowed() == before).all()
    assert (made.matcher().allowed() == before).all()


def test_a_token_that_was_not_allowed_leaves_only_the_end(grammars):
    matcher = grammars.compile('root ::= "abc"').matcher()
    matcher.take(77)
    assert matcher.allowed().nonzero()[0].tolist() == [0]


def test_a_compiled_grammar_is_kept(grammars):
    assert grammars.compile('root ::= "x"') is grammars.compile('root ::= "x"')


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        ('{"type": "strin"}', "Invalid type: strin"),
        ('{"type": "string", "pattern": "(?=a)b"}', "look-around"),
        ('{"allOf": [{"type": "string"}, {"type": "integer"}]}', "incompatible types"),
        ('{"not": {"type": "string"}}', "Unimplemented keys"),
        ('{"type": ', "begins like a JSON schema"),
        ("root ::= nothing", "not GBNF"),
        ("start: nothing", "unknown name"),
        ("hello world", "cannot be enforced"),
        (" ", "empty"),
    ],
)
def test_what_cannot_be_enforced_is_said_in_one_line(grammars, grammar, reason):
    with pytest.raises(GrammarError, match=reason) as caught:
        grammars.compile(grammar)
    assert "\n" not in str(caught.value)


class Foreign:
    """A tokenizer of another library, with SentencePiece's ways of writing tokens."""

    tokens = ("</s>", "▁hi", "▁", "h", "i", "<0xE2>", "<0x82>", "<0xAC>", "\ufffd")
    texts = ("", "hi", "", "h", "i", "\ufffd", "\ufffd", "\ufffd", "\ufffd")
    chat_template = "{{ messages }}"

    def __len__(self):
        return len(self.tokens)

    def convert_ids_to_tokens(self, ids):
        return [self.tokens[number] for number in ids]

    def decode(self, ids, **_):
        return "".join(self.texts[number] for number in ids)

    def encode(self, text, **_):
        spelled = {"h": [3], "i": [4], " ": [2], "€": [5, 6, 7]}
        return [token for character in text for token in spelled[character]]


def test_a_tokenizer_of_any_make_is_learnt_by_the_texts_of_its_tokens():
    codec = TextCodec(Foreign())
    grammars = Grammars(lambda: codec.grammar_tokenizer(9, [0]), 9)
    matcher = grammars.compile('root ::= " hi" | "h€"').matcher()
    drawn = []
    for token in (3, 5, 6, 7, 0):
        drawn.append(matcher.allowed().nonzero()[0].tolist())
        matcher.take(token)
    assert drawn == [[1, 2, 3], [5], [6], [7], [0]]


@given(data=st.data())
def test_whatever_is_drawn_among_the_allowed_is_json_of_the_schema(data, codec, grammars):
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "n": {"enum": [1, 22, "x"]}},
        "required": ["ok", "n"],
        "additionalProperties": False,
    }
    matcher = grammars.compile(json.dumps(schema)).matcher()
    drawn: list[int] = []
    while not drawn or drawn[-1] != 0:
        allowed = matcher.allowed().nonzero()[0].tolist()
        drawn.append(data.draw(st.sampled_from(allowed)))
        matcher.take(drawn[-1])
    found = json.loads(codec.decode(drawn))
    assert isinstance(found["ok"], bool)
    assert found["n"] in {1, 22, "x"}
