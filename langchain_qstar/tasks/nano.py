"""The task of the bundled model: plain lines, of which the last states the answer."""

from __future__ import annotations

import re
from typing import Final

from langchain_qstar.answers import canonical_number, find_number, same_number
from langchain_qstar.protocols import Task

_ANSWER_LINE: Final = re.compile(r"^The answer is\b(.*)$", re.MULTILINE)


def _messages(question: str) -> tuple[tuple[str, str], ...]:
    return (("user", question),)


_OPENING: Final = re.compile(r"^(?:So|Thus|Now) (?=\S)", re.MULTILINE)
_CHAIN: Final = re.compile(r"\d[\d+*/=-]*=(?=\d)")


def _canonical(text: str) -> str:
    """Each line without its opening word, and with the value of its equation alone.

    `So Tom has 3*6=18 apples.` and `Tom has 6*3=10+8=18 apples.` say the same.
    """
    return _CHAIN.sub("", _OPENING.sub("", text))


def _is_terminal(text: str) -> bool:
    return _ANSWER_LINE.search(text) is not None


def _answer(text: str) -> str | None:
    line = _ANSWER_LINE.search(text)
    value = find_number(line.group(1)) if line else None
    return None if value is None else canonical_number(value)


NANO: Final = Task(
    name="nano",
    messages=_messages,
    answer=_answer,
    is_terminal=_is_terminal,
    stop=("\n",),
    step_tokens=64,
    solution_tokens=384,
    equivalent=same_number,
    canonical=_canonical,
    prefills={"subquestion": "Q:", "re_answer": "A:", "rephrase": "Rephrase:"},
)
"""One user message, the question itself; a step is a line."""
