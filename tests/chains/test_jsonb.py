"""JSON that PostgreSQL takes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.chains.jsonb import dumps, loads

CHARACTERS = st.one_of(st.characters(), st.sampled_from("\0\x1a\ud800\udfff0a😀\\"))
TEXTS = st.text(CHARACTERS)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda each: st.one_of(st.lists(each), st.dictionaries(TEXTS, each)),
)


@given(VALUES)
def test_every_value_comes_back(value):
    assert loads(dumps(value)) == loads(dumps(value).encode()) == value


@given(TEXTS)
def test_no_text_has_a_character_that_is_refused(text):
    stored = json.loads(dumps(text))
    assert "\0" not in stored
    stored.encode()  # fails for a lone surrogate


@pytest.mark.parametrize("value", ["as it is", "äß😀", {"a": [1, 2.5, None, True]}])
def test_what_needs_no_mark_is_plain_json(value):
    assert json.loads(dumps(value)) == value
    assert dumps(value) == json.dumps(value)


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "\x1a0000"])
def test_a_real_server_takes_it_and_gives_it_back(postgres_address, text):
    import psycopg
    from psycopg.types.json import Jsonb, set_json_dumps, set_json_loads

    with psycopg.connect(postgres_address) as connection:
        set_json_dumps(dumps, connection)
        set_json_loads(loads, connection)
        for binary in (False, True):
            with connection.cursor(binary=binary) as cursor:
                assert cursor.execute("SELECT %s", [Jsonb({"a": text})]).fetchone() == (
                    {"a": text},
                )
