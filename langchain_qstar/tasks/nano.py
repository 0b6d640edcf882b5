"""The task of the bundled model: plain lines, of which the last states the answer."""

from __future__ import annotations

import re
from typing import Final

from langchain_qstar.answers import canonical_number, find_number, gold_number, same_number
from langchain_qstar.checks.arithmetic import arithmetic
from langchain_qstar.protocols import Task

_ANSWER_LINE: Final = re.compile(r"^The answer is\b(.*)$", re.MULTILINE)


def _messages(question: str) -> tuple[tuple[str, str], ...]:
    return (("user", question),)


_UNDECIDED: Final = re.compile(r"^(?:Q|Rephrase):.*\n?", re.MULTILINE)
_OPENING: Final = re.compile(r"^(?:A: )?(?:(?:So|Thus|Now) (?=\S))?", re.MULTILINE)
_CHAIN: Final = re.compile(r"\d[\d+*/=-]*=(?=\d)")


def _canonical(text: str) -> str:
    """What a trajectory has found out: each line's statement with its value alone.

    `So Tom has 3*6=18 apples.` and `A: Tom has 6*3=10+8=18 apples.` say the
    same. A question to itself or a rephrasing finds nothing out, so a state that
    ends in one is the state before it.
    """
    return _CHAIN.sub("", _OPENING.sub("", _UNDECIDED.sub("", text)))


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
    gold=gold_number,
    is_terminal=_is_terminal,
    stop=("\n",),
    step_tokens=64,
    solution_tokens=384,
    equivalent=same_number,
    canonical=_canonical,
    checks=(arithmetic,),
    prefills={"subquestion": "Q:", "re_answer": "A:", "rephrase": "Rephrase:"},
)
"""One user message, the question itself; a step is a line."""
