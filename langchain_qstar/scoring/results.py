"""What a step comes to: the number that it finds, if it finds one.

Two samples that find the same number agree, however they say it. A step that copies a
number of the question, announces what comes next or says again what is known finds none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Final

from langchain_qstar.answers import final_number, parse_number
from langchain_qstar.answers.digits import LENGTH, NUMBER, value_of, without_markup

_EQUALS: Final = re.compile(r"=|≈")
_LABEL: Final = re.compile(
    r"^[\s*_>#-]*(?:(?:step|question|part)\s*)?\(?\d{1,3}[.):][*_]*\s+", re.IGNORECASE
)
"""The number of a list or of a heading, which is no result."""

_HEADING: Final = re.compile(r"^[\s*_>#-]*step\s*\d{1,3}\b", re.IGNORECASE)
_LONGEST: Final = 4_000
"""Characters of a step that are read, from its end."""


def result_of(text: str, question: str, before: Iterable[str] = ()) -> Fraction | None:
    """The number that a step finds.

    It is the answer that the step states; else the right side of its last equation, if no
    step before has found it; else its last number, if neither the question nor a step before
    says it.

    Args:
        text: The step.
        question: What was asked.
        before: The texts of the steps before it.

    Returns:
        The exact value, or None.
    """
    text = text[-_LONGEST:]
    stated = final_number(text)
    if stated is not None:
        return parse_number(stated)
    earlier = list(before)
    found = _equated(text)
    if found is not None:
        return None if any(found == _equated(each) for each in earlier) else found
    numbers = numbers_in(text)
    if not numbers:
        return None
    known = {value for each in (question, *earlier) for value in numbers_in(each)}
    return None if numbers[-1] in known else numbers[-1]


def results_of(texts: Iterable[str], question: str) -> list[Fraction | None]:
    """What each step of a path comes to."""
    before: list[str] = []
    found = []
    for text in texts:
        found.append(result_of(text, question, before))
        before.append(text)
    return found


@lru_cache(maxsize=4096)
def numbers_in(text: str) -> tuple[Fraction, ...]:
    """The numbers that a text says, in order, without those of lists and headings."""
    return tuple(value for line in text.splitlines() for value in _numbers(line))


@lru_cache(maxsize=4096)
def _equated(text: str) -> Fraction | None:
    """What the last equation comes to: the first number after its last sign."""
    for line in reversed(text[-_LONGEST:].splitlines()):
        sides = _EQUALS.split(without_markup(line))
        for side in reversed(sides[1:]):
            match = NUMBER.search(side[:LENGTH])
            if match is not None and (value := value_of(side, match)) is not None:
                return value
    return None


def _numbers(line: str) -> Iterator[Fraction]:
    plain = without_markup(_HEADING.sub("", _LABEL.sub("", line)))
    for match in NUMBER.finditer(plain):
        value = value_of(plain, match)
        if value is not None:
            yield value
