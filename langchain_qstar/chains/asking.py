"""From what callers pass to one call: the question, the seed and the budgets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from pydantic import BaseModel, Field

from langchain_qstar.errors import QuestionError, SettingsError
from langchain_qstar.protocols import Image

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
    images: tuple[Image, ...] = ()
    """What the question shows."""


@dataclass(frozen=True, slots=True)
class Continuation(Ask):
    """A call that goes on with the search of its thread, whose question and seed it has."""

    decision: Any = None
    """What a person says, in a form of `decisions.py`; None goes on as it is."""


class Question(NamedTuple):
    """What is asked: its text, and the images that it shows."""

    text: Any
    images: tuple[Image, ...] = ()


WHERE: Final = ("url", "base64", "file_id")
"""The fields of an image block that say where the image is."""


def read(value: Any) -> tuple[Question, dict[str, Any]]:
    """The question in an input, and what else a dict input gives."""
    if isinstance(value, str):
        return Question(value), {}
    if isinstance(value, Mapping):
        given = dict(value)
        if "question" in given:
            images = given.pop("images", None) or ()
            return Question(given.pop("question"), read_images(images)), given
        if "messages" in given:
            return _last_question(given.pop("messages")), given
        raise QuestionError("the input has no 'question'; pass a string or {'question': ...}")
    return _last_question(value), {}


def _last_question(value: Any) -> Question:
    """The text and the images of the last human message."""
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
            return question_in(message)
    raise QuestionError("the messages hold no human message to answer")


def question_in(message: HumanMessage) -> Question:
    """The text and the images of a message that holds nothing else.

    Raises:
        QuestionError: It holds a sound or the like, which would be left out.
    """
    blocks = message.content_blocks
    kinds = {block["type"] for block in blocks} - {"text", "image"}
    if kinds:
        raise QuestionError(
            f"the question holds {', '.join(sorted(kinds))} content, which a search does not "
            "read; put what matters of it into words"
        )
    images = tuple(_image(block) for block in blocks if block["type"] == "image")
    return Question(str(message.text), images)


def read_images(blocks: Any) -> tuple[Image, ...]:
    """Images from content blocks in any form that LangChain reads.

    Raises:
        QuestionError: They are no such blocks.
    """
    if isinstance(blocks, Mapping) or not isinstance(blocks, Sequence):
        raise QuestionError("'images' must be a list of content blocks")
    if not all(isinstance(each, Mapping) and "type" in each for each in blocks):
        raise QuestionError("'images' holds what is no content block, a dict with a 'type'")
    return question_in(HumanMessage([dict(each) for each in blocks])).images


def _image(block: Mapping[str, Any]) -> Image:
    """A block as it is stored: without the id that LangChain makes up at every reading."""
    made_up = str(block.get("id", "")).startswith("lc_")
    image = {key: value for key, value in block.items() if not (made_up and key == "id")}
    try:
        json.dumps(image)
    except (TypeError, ValueError):
        image = {}
    if not any(isinstance(image.get(key), str) for key in WHERE):
        raise QuestionError(f"an image must have one of {', '.join(WHERE)}, as text")
    return image


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
