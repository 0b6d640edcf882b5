"""What the tasks for instruction-following models share: a prompt file, and an answer line.

The form of the answer line is GSM8K's in the chain-of-thought literature
(Wei et al., 2022); the instructions are files in `prompts/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final

from langchain_qstar.prompting import Prompt, load_prompt

# Signs are looked for within a line and once in front of each word: a model that writes
# nothing but signs must cost no more than one that writes words.
_ANSWER_LINE: Final = re.compile(
    r"^[^\w\n]*(?:(?:so|thus|therefore|hence)[^\w\n]*)?(?:the )?(?:final )?answer(?: is\b|:)"
    r"|^####|\\boxed\{",
    re.IGNORECASE | re.MULTILINE,
)

ANSWER_PREFILL: Final = "The answer is"
"""How a solution that has ended without an answer is asked for it."""


def asked_with(name: str) -> Callable[[str], tuple[tuple[str, str], ...]]:
    """The `messages` of a task: one user message, `prompts/NAME.txt` with the question in it."""

    @cache
    def prompt() -> Prompt:
        return load_prompt(name, {"question"})

    def messages(question: str) -> tuple[tuple[str, str], ...]:
        return (("user", prompt().fill(question=question)),)

    return messages


def has_answer_line(text: str) -> bool:
    """Whether a line of the text states the final answer."""
    return _ANSWER_LINE.search(text) is not None
