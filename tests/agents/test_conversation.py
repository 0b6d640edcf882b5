"""What a conversation asks, and what is read from a reply."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_qstar.agents.conversation import (
    last_human_text,
    log_probabilities,
    question_of,
    state_of,
    step_of,
    without_opening,
)
from langchain_qstar.errors import QuestionError

CALL = {"name": "add", "args": {"b": 2, "a": 1}, "id": "1"}


def returned(text: str, **fields: Any) -> ToolMessage:
    return ToolMessage(text, tool_call_id="1", **fields)


def test_the_question_is_the_last_human_message_with_what_tools_returned_since():
    asked = [HumanMessage("How many?"), AIMessage("", tool_calls=[CALL])]
    results = [returned("three", name="add"), returned("four"), returned("no", status="error")]
    assert question_of([*asked, *results]) == "How many?\nadd: three\ntool: four"
    assert question_of([*asked, *results, HumanMessage("And now?")]) == "And now?"


@pytest.mark.parametrize("messages", [[], [SystemMessage("s")], [HumanMessage(" ")]])
def test_without_a_human_message_there_is_no_question(messages):
    assert question_of(messages) is None
    assert not last_human_text(messages).strip()


def test_an_image_belongs_to_the_question_whatever_form_its_block_has():
    provider = {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}
    asked = [HumanMessage([{"type": "text", "text": "What is it?"}, provider])]
    question = question_of([*asked, AIMessage("", tool_calls=[CALL]), returned("a cat")])
    assert isinstance(question, HumanMessage)
    assert question.content_blocks == [
        {"type": "image", "url": "https://a.b/c.png"},
        {"type": "text", "text": "What is it?\ntool: a cat"},
    ]
    alone = question_of([HumanMessage([provider])])
    assert isinstance(alone, HumanMessage)
    assert [block["type"] for block in alone.content_blocks] == ["image", "text"]


def test_an_opening_is_taken_off_a_question_with_or_without_images():
    picture = {"type": "image", "url": "https://a.b/c.png"}
    asked = HumanMessage([{"type": "text", "text": " /search What?"}, picture])
    without = without_opening(asked, "/search")
    assert isinstance(without, HumanMessage)
    assert without.content == [picture, {"type": "text", "text": "What?"}]
    assert without_opening(" /search What?", "/search") == "What?"


def test_a_sound_is_not_left_out_in_silence():
    sound = {"type": "audio", "url": "https://a.b/c.wav"}
    with pytest.raises(QuestionError, match="audio"):
        question_of([HumanMessage([{"type": "text", "text": "What is it?"}, sound])])


def test_a_reply_is_a_step_of_its_text_and_its_calls_with_arguments_in_order():
    step = step_of(AIMessage("Let me add.", tool_calls=[CALL]))
    assert step.text == 'Let me add.\nadd({"a": 1, "b": 2})'
    assert step_of(AIMessage("", tool_calls=[CALL])).text == 'add({"a": 1, "b": 2})'


def test_the_state_has_the_roles_of_chat_templates():
    state = state_of([SystemMessage("s"), HumanMessage("q"), AIMessage("a"), returned("t")])
    assert state.question == "q"
    assert state.messages == (("system", "s"), ("user", "q"), ("assistant", "a"), ("tool", "t"))


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"logprobs": {"content": [{"logprob": -1}, {"logprob": -0.5}]}}, (-1.0, -0.5)),
        ({"logprobs": {"content": None}}, ()),
        ({"logprobs": None}, ()),
        ({"logprobs": [0.5]}, ()),
        ({"logprobs": {"content": [7, {"token": "a"}, {"logprob": float("nan")}]}}, ()),
        ({}, ()),
    ],
)
def test_log_probabilities_are_read_where_they_are_and_nowhere_else(metadata, expected):
    assert log_probabilities(AIMessage("a", response_metadata=metadata)) == expected
