"""What the tasks for instruction-following models share: a prompt file, `prompts/NAME.txt`.

The form of the answer line that it asks for is GSM8K's in the chain-of-thought literature
(Wei et al., 2022).
"""

from __future__ import annotations

from typing import Final

from langchain_qstar.tasks.asking import Asking, PromptFiles

ANSWER_PREFILL: Final = "The answer is"
"""How a solution that has ended without an answer is asked for it."""


def asked_with(name: str) -> Asking:
    """The `messages` of a task whose prompts are the files in `prompts/NAME/`."""
    return Asking(PromptFiles(name))
