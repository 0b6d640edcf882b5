"""From what callers pass to one call: the question, the seed and the budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from pydantic import BaseModel, Field

from langchain_qstar.errors import QuestionError, SettingsError

if TYPE_CHECKING:
    from langgraph.runtime import RunControl


class QuestionInput(BaseModel):
    """The input as a dict. A seed and budgets may be added to it."""

    question: str = Field(description="the question, in plain words")


@dataclass(frozen=True, slots=True)
class Ask:
    """One call: the question, the seed, and budgets that replace those of the settings."""

    question: str
    seed: int
    budget: Mapping[str, Any]
    control: RunControl | None = None
    """Where the caller asks the run to drain."""


@dataclass(frozen=True, slots=True)
class Continuation(Ask):
    """A call that goes on with the search of its thread, whose question and seed it has."""

    decision: Any = None
    """What a person says, in a form of `decisions.py`; None goes on as it is."""


def read(value: Any) -> tuple[Any, dict[str, Any]]:
    """The question in an input, and what else a dict input gives."""
    if isinstance(value, str):
        return value, {}
    if isinstance(value, Mapping):
        given = dict(value)
        if "question" in given:
            return given.pop("question"), given
        if "messages" in given:
            return _last_question(given.pop("messages")), given
        raise QuestionError("the input has no 'question'; pass a string or {'question': ...}")
    return _last_question(value), {}


def _last_question(value: Any) -> str:
    """The text of the last human message."""
    if isinstance(value, PromptValue):
        messages: Sequence[BaseMessage] = value.to_messages()
    elif isinstance(value, BaseMessage):
        messages = [value]
    elif isinstance(value, (list, tuple)):
        try:
            messages = convert_to_messages(value)
        except (ValueError, NotImplementedError, TypeError, KeyError) as error:
            raise QuestionError(f"the input is not a list of messages: {error}") from None
    else:
        raise QuestionError(
            f"the input must be a string, a dict with 'question' or messages, "
            f"not {type(value).__name__}"
        )
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            return text_of(message)
    raise QuestionError("the messages hold no human message to answer")


def text_of(message: HumanMessage) -> str:
    """The text of a message that holds nothing else.

    Raises:
        QuestionError: It holds an image or the like, which would be left out.
    """
    kinds = {block["type"] for block in message.content_blocks} - {"text"}
    if kinds:
        raise QuestionError(
            f"the question holds {', '.join(sorted(kinds))} content, which a search does not "
            "read; put what matters of it into words"
        )
    return str(message.text)


def joined(chunks: list[Any]) -> list[Any]:
    """The chunks of a streamed input as one input; none when nothing came."""
    if chunks and all(isinstance(chunk, str) for chunk in chunks):
        return ["".join(chunks)]
    return chunks[-1:]


def checked_seed(seed: Any) -> int:
    """`seed`, if it is an integer; `SettingsError` otherwise."""
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise SettingsError(f"seed={seed!r} is not an integer")
    return seed
