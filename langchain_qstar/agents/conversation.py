"""What a conversation asks of a search, and what is known about a reply in it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_qstar.chains.asking import question_in
from langchain_qstar.models.instruction import shown_with
from langchain_qstar.protocols import State, Step

_ROLES: Final = {"human": "user", "ai": "assistant"}


Asked = str | HumanMessage
"""A question: a text, or a message with a text and images."""


def question_of(messages: Sequence[BaseMessage]) -> Asked | None:
    """The question a conversation ends with, as one text, with its images if it has any.

    That is the text of the last human message, and after it, a line each, what
    tools have returned since. What was said before is not part of it.

    Args:
        messages: The conversation.

    Returns:
        The question, or None when no human message holds any text or image.

    Raises:
        QuestionError: The last human message holds a sound or the like.
    """
    last = _last_human(messages)
    if last is None:
        return None
    asked, images = question_in(last[1])
    if not asked.strip() and not images:
        return None
    returned = [
        f"{message.name or 'tool'}: {message.text}"
        for message in messages[last[0] + 1 :]
        if isinstance(message, ToolMessage) and message.status == "success"
    ]
    text = "\n".join([asked, *returned])
    return HumanMessage(shown_with(text, images)) if images else text


def without_opening(question: Asked, opening: str) -> Asked:
    """A question without what its text starts with."""
    if isinstance(question, str):
        return question.lstrip().removeprefix(opening).lstrip()
    text, images = question_in(question)
    return HumanMessage(shown_with(text.lstrip().removeprefix(opening).lstrip(), images))


def last_human_text(messages: Sequence[BaseMessage]) -> str:
    """The text of the last human message; empty when there is none."""
    last = _last_human(messages)
    return "" if last is None else str(last[1].text)


def _last_human(messages: Sequence[BaseMessage]) -> tuple[int, HumanMessage] | None:
    """The last human message, and where it is."""
    for place, message in reversed(list(enumerate(messages))):
        if isinstance(message, HumanMessage):
            return place, message
    return None


def state_of(messages: Sequence[BaseMessage]) -> State:
    """The conversation as the state in which a scorer judges replies.

    Its `messages` are pairs of role and text, with tool calls as in `step_of`.
    """
    pairs = tuple((_ROLES.get(message.type, message.type), _said(message)) for message in messages)
    return State(last_human_text(messages), pairs)


def step_of(reply: AIMessage) -> Step:
    """A reply as the step that a scorer judges.

    Its text is that of the reply and, a line each, its tool calls, written as
    `name({"argument": value})`, arguments in the order of their names.
    """
    return Step(_said(reply), logprobs=log_probabilities(reply))


def _said(message: BaseMessage) -> str:
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    written = [written_call(call) for call in calls]
    return "\n".join([text for text in [str(message.text)] if text] + written)


def written_call(call: Mapping[str, Any]) -> str:
    """A tool call as one line; equal calls are the same line."""
    return f"{call['name']}({json.dumps(call['args'], sort_keys=True, default=str)})"


def log_probabilities(reply: AIMessage) -> tuple[float, ...]:
    """Natural-log probability of each token of a reply, where its model gives them.

    Read from `response_metadata["logprobs"]["content"]`, where LangChain's
    integrations put them; anything else there is no log-probability.
    """
    given = reply.response_metadata.get("logprobs")
    tokens = given.get("content") if isinstance(given, Mapping) else None
    if not isinstance(tokens, Sequence):
        return ()
    values = [token.get("logprob") for token in tokens if isinstance(token, Mapping)]
    return tuple(
        float(value) for value in values if isinstance(value, (int, float)) and math.isfinite(value)
    )
