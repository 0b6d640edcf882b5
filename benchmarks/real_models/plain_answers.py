r"""Answers of plain texts, read as kindly as the literature does.

The last box that holds a number; else the number after the last `answer is` or `####`; else
the last number of the text, as harnesses for evaluation take it ("flexible").
"""

from __future__ import annotations

import re
from typing import Final

from langchain_qstar.answers.numbers import canonical_number, find_number

_BOX: Final = re.compile(r"\\boxed\s*\{")
_SAID: Final = re.compile(r"\banswer\b[*_\s]*(?:is\b|:)|####", re.IGNORECASE)
_NUMBER: Final = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?")


def plain_answer(text: str) -> str | None:
    """The canonical number that a text ends with, or None when it holds no number."""
    told = [_inside(text[box.end() :]) for box in _BOX.finditer(text)][::-1]
    said = [text[mark.end() :].lstrip(" :*\n")[:300] for mark in _SAID.finditer(text)]
    told += [rest.split("\n", 1)[0] for rest in said[-1:]]
    told += [found.strip(",").replace("$", "") for found in _NUMBER.findall(text)][-1:]
    values = (find_number(each) for each in told)
    value = next((value for value in values if value is not None), None)
    return None if value is None else canonical_number(value)


def _inside(text: str) -> str:
    """Text up to the brace that closes the one before it; all of it if none does."""
    depth = 1
    for place, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[:place]
    return text
