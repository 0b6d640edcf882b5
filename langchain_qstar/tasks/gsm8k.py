"""Grade-school word problems for any instruction-following model.

The form of the answer line is GSM8K's in the chain-of-thought literature
(Wei et al., 2022); the instruction is `prompts/gsm8k.txt`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from langchain_qstar.answers import final_number, same_number
from langchain_qstar.prompting import Prompt, load_prompt
from langchain_qstar.protocols import Task

_ANSWER_LINE: Final = re.compile(
    r"^\W*(?:so|thus|therefore|hence)?\W*(?:the )?(?:final )?answer(?: is\b|:)|^####|\\boxed\{",
    re.IGNORECASE | re.MULTILINE,
)


@cache
def _prompt() -> Prompt:
    return load_prompt("gsm8k", {"question"})


def _messages(question: str) -> tuple[tuple[str, str], ...]:
    return (("user", _prompt().fill(question=question)),)


def _is_terminal(text: str) -> bool:
    return _ANSWER_LINE.search(text) is not None


def _answer(text: str) -> str | None:
    return final_number(text)


GSM8K: Final = Task(
    name="gsm8k",
    messages=_messages,
    answer=_answer,
    is_terminal=_is_terminal,
    stop=("\n",),
    step_tokens=128,
    solution_tokens=512,
    equivalent=same_number,
)
"""One user message with an instruction; a step is a line."""
