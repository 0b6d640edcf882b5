"""What the tasks for instruction-following models share: a prompt file, and an answer line.

The form of the answer line is GSM8K's in the chain-of-thought literature
(Wei et al., 2022); the instructions are files in `prompts/`.
"""

from __future__ import annotations

import re
from typing import Final

from langchain_qstar.tasks.asking import Asking, PromptFiles

# Signs are looked for within a line and once in front of each word: a model that writes
# nothing but signs must cost no more than one that writes words.
_ANSWER_LINE: Final = re.compile(
    r"^[^\w\n]*(?:(?:so|thus|therefore|hence)[^\w\n]*)?(?:the )?(?:final )?answer(?: is\b|:)"
    r"|^####|\\boxed\{",
    re.IGNORECASE | re.MULTILINE,
)


def asked_with(name: str) -> Asking:
    """The `messages` of a task whose prompts are the files in `prompts/NAME/`."""
    return Asking(PromptFiles(name))


def has_answer_line(text: str) -> bool:
    """Whether a line of the text states the final answer."""
    return _ANSWER_LINE.search(text) is not None
