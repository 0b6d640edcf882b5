"""Numeric answers: finding them in what a solution says, and their equality.

A sentence that says several numbers states none, unless it begins with its answer
(`15 since 3x = 45`) or is an equation (`x = 3 * 5 = 15`). All arithmetic is exact.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from langchain_qstar.answers.boxes import boxes, last_box
from langchain_qstar.answers.digits import (
    LENGTH,
    NUMBER,
    canonical_number,
    end_of,
    parse_number,
    value_of,
    without_markup,
)
from langchain_qstar.answers.markers import (
    Statement,
    closing_sentence,
    final_answer,
    first_sentence,
    is_stated,
)
from langchain_qstar.answers.numerals import digits_for_words

__all__ = [
    "canonical_number",
    "final_number",
    "find_number",
    "guess_number",
    "near_number",
    "only_number",
    "parse_number",
    "same_number",
    "states_number",
]

_LEAD: Final = re.compile(
    r"""(?:[\s*_`~:="'\#>{\[(,$]|\\\[|\\\(
        |(?:is|are|that|be|therefore|thus|then|so|simply|just|only|exactly|precisely|approximately
          |approx\.?|about|around|roughly|nearly|almost|still|now|indeed|equal\sto|equals
          |a\stotal\sof|US|USD|EUR|Rs\.?)\b)*""",
    re.IGNORECASE | re.VERBOSE,
)
"""What may stand before a number that begins a sentence."""

_REASON: Final = re.compile(
    r"\b(?:since|because|as|which|so|given|where|when|if|after|rather|instead|not|but|than|that)\b"
    r"|[;(\[\u2014]|--",
    re.IGNORECASE,
)
_JOIN: Final = re.compile(r",(?!\d)|;|\band\b|\bor\b", re.IGNORECASE)
_UNITS: Final = (
    r"(?!(?:in|for|per|of|from|at|on|with|to|by|out|each|every|after|more|less|fewer|than)\b)"
    r"[a-z\u00b0%]+\.?"
)
_COMPOUND: Final = re.compile(
    rf"\s*-?(?:{_UNITS}\s+){{0,3}}?{_UNITS}(?:,\s*|\s+)(?:(?:and|or)\s+)?[-+]?\.?\d"
    r"|\s+[-+]?\.?\d",
    re.IGNORECASE,
)
"""A second quantity right after the first: `1 hour 30 minutes`, `5 apples and 3 pears`."""

_BARE_TAIL: Final = re.compile(r"[^\w\d]*(?:[^\W\d]+[^\w\d]*){0,3}")
"""A unit of a few words, and nothing else."""

_VERB: Final = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|will|can|do|does|did|to|so|then|we|he|she|they|it)\b",
    re.IGNORECASE,
)
_TITLE: Final = re.compile(r"\s+[A-Z][a-z]+\s+\w")
"""What follows the number of a heading: `1 Count the boxes`."""

_NUMBERED: Final = re.compile(r"\s*[.):]\s+[^\W\d]")
_DENIED: Final = re.compile(r"\b(?:not|cannot|never|neither)\b|n't\b", re.IGNORECASE)
_FLOAT: Final = re.compile(r"\.\d{7}")


def find_number(text: str) -> Fraction | None:
    """The value that a phrase such as `she has 5 apples left` states.

    Args:
        text: A sentence, of which the first 300 characters are read.

    Returns:
        The exact value; None when there is none, when there are several, and when it is
        part of an expression, a range or a list.
    """
    plain = _plain(text[:LENGTH])
    first = NUMBER.search(plain)
    if first is None or _DENIED.search(plain[: first.start()]):
        return None
    reason = _REASON.search(plain, first.end())
    clause = plain[: reason.start()] if reason else plain
    if "=" in clause:
        return _equated(clause)
    if first.start() == _lead(plain):
        value = value_of(clause, first)
        return None if _COMPOUND.match(clause, end_of(clause, first)) else value
    return only_number(plain)


def only_number(text: str) -> Fraction | None:
    """The value of the only number of a sentence, however often it is said; else None."""
    plain = _plain(text[:LENGTH])
    found: set[Fraction] = set()
    for match in NUMBER.finditer(plain):
        before = plain[: match.start()][-1:] if match[0][0].isdigit() else ""
        if before.isalpha() or re.match(r"(?:st|nd|rd|th)\b", plain[match.end() :]):
            continue  # `H2O`, `the 3rd day`
        value = value_of(plain, match)
        if value is None:
            return None
        found.add(value)
    return found.pop() if len(found) == 1 else None


def final_number(text: str) -> str | None:
    r"""The canonical final answer that a solution states.

    It stands after a marker (`markers`), in the same line or the next; where no marker
    announces one, in the last `\boxed{}`. Numbers that nothing announces are not answers.

    Args:
        text: A whole solution; only its last 20,000 characters are read.

    Returns:
        The canonical form (`canonical_number`), or None, also when two markers announce
        different numbers.
    """
    return final_answer(text, read_number, _boxed)


def guess_number(text: str) -> str | None:
    """The number of the last sentence if it is the only one there, in canonical form."""
    return _canonical(only_number(closing_sentence(text)))


def states_number(text: str) -> bool:
    """Whether a text states its numeric answer, or that it has none (`markers.is_stated`)."""
    return is_stated(text, read_number)


def read_number(statement: Statement) -> str | None:
    """The number that a statement announces, in canonical form."""
    said = first_sentence(statement.said[:LENGTH])
    if boxes(said):
        return _boxed(said)
    return _canonical(find_number(said) if statement.sentence else _bare(said))


def same_number(a: str, b: str) -> bool:
    """Whether two bare answers are the same number.

    Exact, except that a number written with more than six decimals is taken for
    the output of float arithmetic and may differ by 0.00005 (and by a thousandth
    of its size at most).

    Returns:
        False when either does not parse.
    """
    left, right = parse_number(a), parse_number(b)
    if left is None or right is None:
        return False
    if left == right:
        return True
    if not (_FLOAT.search(a) or _FLOAT.search(b)):
        return False
    gap = abs(left - right)
    return gap <= Fraction(5, 10**5) and gap * 1000 <= max(abs(left), abs(right))


def near_number(a: str, b: str) -> bool:
    """Whether two bare answers differ by at most 0.001, as GSM-Hard's own evaluation allows.

    Returns:
        False when either does not parse.
    """
    left, right = parse_number(a), parse_number(b)
    return left is not None and right is not None and abs(left - right) <= Fraction(1, 1000)


def _boxed(end: str) -> str | None:
    """The number in the last box."""
    box = last_box(end)
    return None if box is None else _canonical(find_number(box))


def _canonical(value: Fraction | None) -> str | None:
    return None if value is None else canonical_number(value)


def _plain(text: str) -> str:
    return digits_for_words(without_markup(text))


def _lead(plain: str) -> int:
    """Where a sentence begins, after what may stand before its number."""
    found = _LEAD.match(plain)
    return found.end() if found else 0


def _equated(clause: str) -> Fraction | None:
    """What the equations of a clause end in, if they agree."""
    found = {_side(each) for each in _JOIN.split(clause) if "=" in each}
    return found.pop() if len(found) == 1 else None


def _side(equation: str) -> Fraction | None:
    """The last side of an equation, or the first where the last is none: `12 = 3 * 4`."""
    sides = equation.split("=")
    for side in (sides[-1], sides[0]):
        match = NUMBER.match(side, _lead(side))
        value = None if match is None else value_of(side, match)
        if value is not None:
            return value
    return None


def _bare(said: str) -> Fraction | None:
    """The value of a line that is nothing but an answer: a number, perhaps with its unit."""
    plain = _plain(said)
    start = max(_lead(plain), plain.rfind("=") + 1)
    match = NUMBER.match(plain, _lead(plain[start:]) + start)
    if match is None:
        return None
    reason = _REASON.search(plain, match.end())
    plain = plain[: reason.start()] if reason else plain
    end = end_of(plain, match)
    tail = plain[end:]
    titled = _TITLE.match(tail) or _NUMBERED.match(tail) or _VERB.search(tail)
    return value_of(plain, match) if _BARE_TAIL.fullmatch(tail) and not titled else None
