"""Calls told while they are written, whatever the pieces in which they come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk

from langchain_qstar.models.faces.tool_calls import OURS, CallFormat
from langchain_qstar.models.faces.written_calls import WrittenCalls

LISTED = CallFormat("CALLS[", ", ", "]")
BARE = CallFormat("", None, "", arguments="parameters")
NAMES = ["add", "say"]

ARGUMENTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=5,
    ),
    max_size=3,
)
CALLS = st.lists(st.tuples(st.sampled_from(NAMES), ARGUMENTS), min_size=1, max_size=3)


def call(name: str, args: Any) -> Any:
    return {"name": name, "args": args, "id": None}


def told(form: CallFormat, text: str, sizes: list[int]) -> Any:
    """The joined chunks of an answer that comes in pieces of these sizes."""
    written = WrittenCalls(form, NAMES)
    chunks: list[Any] = []
    at = 0
    for size in sizes:
        at += size
        chunks += written.add(text[:at])
    _, calls, invalid = form.read(text)
    chunks += [*written.add(text), *written.end(calls, invalid)]
    joined: Any = AIMessageChunk(content="")
    for chunk in chunks:
        joined += AIMessageChunk(content="", tool_call_chunks=[chunk])
    return joined


@pytest.mark.parametrize("form", [OURS, LISTED, BARE])
@given(calls=CALLS, sizes=st.lists(st.integers(1, 20), max_size=12))
def test_in_whatever_pieces_they_come_the_calls_are_what_was_written(form, calls, sizes):
    calls = calls if form.between else calls[:1]
    before = "Well." if form.opening else ""
    message = told(form, before + form.written([call(*each) for each in calls]), sizes)
    assert [(each["name"], each["args"]) for each in message.tool_calls] == calls
    assert message.invalid_tool_calls == []
    assert len({each["id"] for each in message.tool_calls}) == len(calls)


@pytest.mark.parametrize("form", [OURS, LISTED])
@given(calls=CALLS, cut=st.integers(1, 60), sizes=st.lists(st.integers(1, 20), max_size=12))
def test_a_call_that_is_cut_is_never_joined_to_a_call(form, calls, cut, sizes):
    text = form.written([call(*each) for each in calls])
    text = text[: max(len(form.opening), len(text) - len(form.closing) - cut)]
    message = told(form, text, sizes)
    _, whole, invalid = form.read(text)
    assert [(each["name"], each["args"]) for each in message.tool_calls] == [
        (each["name"], each["args"]) for each in whole
    ]
    assert bool(message.invalid_tool_calls) == bool(invalid)


def test_text_and_json_that_is_no_call_begin_none():
    for text in ("Hello", '{"a": 1}', '{"name": "other", "parameters": {}}', "{"):
        assert WrittenCalls(BARE, NAMES).add(text) == []
        assert WrittenCalls(OURS, NAMES).add(text) == []


def test_a_name_is_told_before_its_arguments():
    written = WrittenCalls(OURS, NAMES)
    head = OURS.opening + '{"name": "add", "arguments": '
    (begun,) = written.add(head)
    assert (begun["name"], begun["args"], begun["index"]) == ("add", "", 0)
    (more,) = written.add(head + '{"a": ')
    assert (more["name"], more["args"], more["id"]) == (None, '{"a": ', None)
    assert written.add(head + '{"a": ') == []
