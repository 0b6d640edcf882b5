"""LangChain messages as chat templates read them, with tools shown to the model.

It does not: show a model anything but text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import tool_call

from langchain_qstar.errors import QuestionError
from langchain_qstar.models.faces.tool_calls import CallFormat
from langchain_qstar.prompting import Prompt, load_prompt

_LEFT_OUT: Final = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "input_json_delta"}
    | {"thinking", "redacted_thinking", "reasoning", "non_standard"}
)
"""Blocks that say nothing to the model: calls are passed on in another place, thoughts not."""

Chat = list[dict[str, Any]]
Tools = Sequence[Mapping[str, Any]]


@cache
def _prompt() -> Prompt:
    return load_prompt("tools", {"tools", "call"})


def chat_of(messages: Sequence[BaseMessage]) -> Chat:
    """Messages for a template that knows tools.

    Raises:
        QuestionError: There is no message, or one holds something else than text.
    """
    if not messages:
        raise QuestionError("there is no message; give at least one")
    return [_message(message) for message in messages]


def _message(message: BaseMessage) -> dict[str, Any]:
    made: dict[str, Any] = {"role": _role(message), "content": text_of(message)}
    if isinstance(message, AIMessage) and message.tool_calls:
        made["tool_calls"] = [
            {
                "type": "function",
                "id": call["id"],
                "function": {"name": call["name"], "arguments": call["args"]},
            }
            for call in message.tool_calls
        ]
    elif isinstance(message, ToolMessage):
        made["tool_call_id"] = message.tool_call_id
    if message.name and made["role"] == "tool":
        made["name"] = message.name
    return made


def _role(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return message.role
    if isinstance(message, (ToolMessage, FunctionMessage)):
        return "tool"
    if isinstance(message, AIMessage):
        return "assistant"
    return "system" if isinstance(message, SystemMessage) else "user"


def text_of(message: BaseMessage) -> str:
    """The text of a message.

    Raises:
        QuestionError: It holds something else.
    """
    if isinstance(message.content, str):
        return message.content
    texts = []
    for block in message.content:
        if isinstance(block, str):
            texts.append(block)
        elif block.get("type") == "text":
            texts.append(str(block.get("text", "")))
        elif block.get("type") not in _LEFT_OUT:
            raise QuestionError(f"a message holds {block.get('type')!r}; give text only")
    return "".join(texts)


def spelled_out(chat: Chat, tools: Tools, form: CallFormat) -> Chat:
    """The same chat for a template that knows no tools: they, calls and results become text.

    What the tools are is said in the first message, as not every template takes a
    message of the role `system`.
    """
    plain = [_spelled(message, form) for message in chat]
    if tools:
        first, *others = plain
        shown = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
        example = f'{{"{form.name}": "NAME", "{form.arguments}": {{}}}}'
        told = _prompt().fill(tools=shown, call=f"{form.opening}{example}{form.closing}")
        plain = [{**first, "content": f"{told}\n\n{first['content']}"}, *others]
    return plain


def _spelled(message: Mapping[str, Any], form: CallFormat) -> dict[str, Any]:
    content, role = message["content"], message["role"]
    if role == "tool":
        return {"role": "user", "content": f"<tool_response>\n{content}\n</tool_response>"}
    if calls := message.get("tool_calls"):
        made = [
            tool_call(name=call["function"]["name"], args=call["function"]["arguments"], id=None)
            for call in calls
        ]
        content = f"{content}\n{form.written(made)}".lstrip("\n")
    return {"role": role, "content": content}
