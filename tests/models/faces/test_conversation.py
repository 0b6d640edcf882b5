from __future__ import annotations

import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_qstar import QuestionError
from langchain_qstar.models.faces.conversation import chat_of, spelled_out, text_of
from langchain_qstar.models.faces.tool_calls import OURS

CALL = {"name": "add", "args": {"a": 1}, "id": "7", "type": "tool_call"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}


def test_every_kind_of_message_has_its_role():
    messages = [
        SystemMessage("s"),
        HumanMessage("h", name="Ann"),
        AIMessage("a", tool_calls=[CALL]),
        ToolMessage("t", tool_call_id="7", name="add"),
        FunctionMessage("f", name="add"),
        ChatMessage("c", role="critic"),
    ]
    assert chat_of(messages) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "h"},
        {
            "role": "assistant",
            "content": "a",
            "tool_calls": [
                {"type": "function", "id": "7", "function": {"name": "add", "arguments": {"a": 1}}}
            ],
        },
        {"role": "tool", "content": "t", "tool_call_id": "7", "name": "add"},
        {"role": "tool", "content": "f", "name": "add"},
        {"role": "critic", "content": "c"},
    ]


def test_texts_of_blocks_are_joined_and_calls_and_thoughts_left_out():
    blocks = [
        "a",
        {"type": "text", "text": "b"},
        {"type": "thinking", "thinking": "hm"},
        {"type": "tool_use", "id": "7", "name": "add", "input": {}},
        {"type": "text", "text": "c"},
    ]
    assert text_of(AIMessage(blocks)) == "abc"


def test_what_is_no_text_is_refused():
    with pytest.raises(QuestionError, match="holds 'image_url'; give text only"):
        text_of(HumanMessage([{"type": "image_url", "image_url": {"url": "data:"}}]))
    with pytest.raises(QuestionError, match="no message"):
        chat_of([])


def test_for_a_template_without_tools_everything_is_text():
    chat = chat_of(
        [HumanMessage("2+3?"), AIMessage("", tool_calls=[CALL]), ToolMessage("5", tool_call_id="7")]
    )
    asked, called, result = spelled_out(chat, [TOOL], OURS)
    assert asked["content"].endswith("\n\n2+3?")
    assert '{"name": "add", "parameters": {}}' in asked["content"]
    assert OURS.opening in asked["content"]
    assert called == {
        "role": "assistant",
        "content": '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
    }
    assert result == {"role": "user", "content": "<tool_response>\n5\n</tool_response>"}


def test_without_tools_a_plain_chat_stays_as_it_is():
    chat = chat_of([SystemMessage("s"), HumanMessage("h")])
    assert spelled_out(chat, [], OURS) == chat
