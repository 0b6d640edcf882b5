"""What the tasks for instruction-following models share: a prompt file, `prompts/NAME.txt`.

The form of the answer line that it asks for is GSM8K's in the chain-of-thought literature
(Wei et al., 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from langchain_qstar.prompting import Prompt, load_prompt


def asked_with(name: str) -> Callable[[str], tuple[tuple[str, str], ...]]:
    """The `messages` of a task: one user message, `prompts/NAME.txt` with the question in it."""

    @cache
    def prompt() -> Prompt:
        return load_prompt(name, {"question"})

    def messages(question: str) -> tuple[tuple[str, str], ...]:
        return (("user", prompt().fill(question=question)),)

    return messages
