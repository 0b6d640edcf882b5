r"""From the text of a step to the items its equations are made of.

An item is a number with its units, an operator, a bracket, an equals sign, a
word that is not a unit, or a mark that ends a clause. Words after a number are
its units, as in `4 bags of apples * 6`; LaTeX commands for operators and
fractions are read as what they show. Nothing is evaluated here.

The work is linear in the length of the text, which must be bounded by the
caller; a number has at most `DIGITS` digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from fractions import Fraction
from typing import Final

DIGITS: Final = 60
"""Most digits of a number, before and after its point."""

UNIT_WORDS: Final = 6
"""Most words after a number that are taken for its units."""

ANNOTATION: Final = re.compile(r"<<([^<>\n]{0,200})>>")
"""A calculator annotation of GSM8K, `<<48/2=24>>`."""


class Kind(Enum):
    """What an item is."""

    NUMBER = auto()
    OPERATOR = auto()
    OPEN = auto()
    CLOSE = auto()
    EQUALS = auto()
    WORD = auto()
    END = auto()
    """A mark that ends a clause."""
    ODD = auto()
    """A mark that changes what stands beside it in a way that is not read here."""


@dataclass(slots=True)
class Item:
    """A piece of a step.

    Attributes:
        kind: What it is.
        text: How it is written; for an operator one of `+ - * / ^ ! of`, for an
            equals sign `=` or `≈`.
        start: Where it begins in the text that was read.
        end: Where it ends, its units included.
        value: The number's value as written, without percent and scale.
        places: Digits after the number's point.
        percent: Whether a percent sign follows.
        scale: What a word such as `million` multiplies the number by.
        units: The lower-case words after it; `$` for a currency sign.
        spaced: Whether white space stands before it.
    """

    kind: Kind
    text: str
    start: int
    end: int
    value: Fraction = Fraction(0)
    places: int = 0
    percent: bool = False
    scale: int = 1
    units: tuple[str, ...] = ()
    spaced: bool = False


_GLYPHS: Final = str.maketrans(
    {"−": "-", "–": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "×": "*", "·": "*"}
    | {"⋅": "*", "∙": "*", "∗": "*", "÷": "/", "∕": "/", "≃": "≈", "≅": "≈", "’": "'"}
    | {digit: f"^{power}" for power, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
    | {"½": " 1/2", "⅓": " 1/3", "⅔": " 2/3", "¼": " 1/4", "¾": " 3/4", "⅛": " 1/8"}
)
_BOLD: Final = re.compile(r"(?<![\w)])\*\*(?=[^\s*])|(?<=[^\s*])\*\*(?![\w(])")
"""Marks of bold text, which no power has: a power stands between its operands."""

_PERCENT: Final = re.compile(r"(?<=\d)[ -]?per ?cent\b", re.IGNORECASE)

_LATEX: Final = (
    (re.compile(r"\\(?:times|cdot|ast)(?![a-zA-Z])"), "*"),
    (re.compile(r"\\div(?![a-zA-Z])"), "/"),
    (re.compile(r"\\approx(?![a-zA-Z])"), "≈"),
    (re.compile(r",\\!\s*"), ","),
    (re.compile(r"\\(?:left|right|displaystyle|quad|qquad)(?![a-zA-Z])|\\[,!;: ]"), " "),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\[()\[\]]"), " ; "),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\\$"), "$"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)"), r"((\1)/(\2))"),
)
_FRACTION: Final = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_BRACED: Final = re.compile(r"(?:\\boxed|(?<=\^))\s*\{([^{}]*)\}")
_NESTED: Final = 4
"""Levels of `\\frac` in `\\frac` that are read."""

_WORDS: Final = {
    "plus": "+",
    "minus": "-",
    "times": "*",
    "multiplied by": "*",
    "divided by": "/",
    "of": "of",
    "x": "*",
    "X": "*",
}
_OPERANDS: Final = (Kind.NUMBER, Kind.CLOSE)
"""What an operand ends with, and what units follow."""

_SCALES: Final = {
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t]+)
    |(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,3}(?:[ ][0-9]{3})+(?![0-9])|[0-9]+)
        (?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2}(?![0-9A-Za-z]))?
      |\.[0-9]+)
    |(?P<equals>=(?![=>])|==|≈|\b(?:is\ equal\ to|equals)\b)
    |(?P<odd>(?<=[0-9])[,:](?=[0-9])|[<>≤≥≠!]=?|=>|->|_|[~^√!]{2,}|\\[a-zA-Z]*|[√∑∫π|~\\])
    |(?P<operator>\*\*|[-+*/^]|\b(?:multiplied|divided)\ by\b)
    |(?P<open>[(\[{])
    |(?P<close>[)\]}])
    |(?P<percent>%)
    |(?P<currency>[$€£¥₹])
    |(?P<word>[^\W\d_]+(?:['.-][^\W\d_]+)*)
    |(?P<end>.)""",
    re.VERBOSE | re.DOTALL,
)


def plain_notation(text: str) -> str:
    """`text` with LaTeX and typographic signs written as plain operators."""
    text = _PERCENT.sub("%", _BOLD.sub("", text.translate(_GLYPHS)))
    if "\\" not in text and "^" not in text:
        return text
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    for _ in range(_NESTED):
        text = _BRACED.sub(r"(\1)", _FRACTION.sub(r"((\1)/(\2))", text))
    return text


def read(text: str) -> list[Item]:
    """The items of `text`, which is in plain notation."""
    return _with_units(list(_items(text)))


def _items(text: str) -> Iterator[Item]:
    spaced, line_start, currency = False, True, False
    for match in _TOKEN.finditer(text):
        kind, written = match.lastgroup, match.group()
        if kind == "space":
            spaced = True
            continue
        if kind == "currency":
            currency = True
            continue
        if (
            kind == "operator"
            and line_start
            and written in "-*+"
            and text[match.end() :][:1] == " "
        ):
            continue  # the mark of a list
        item = _item(kind or "end", written, match, spaced=spaced)
        if currency and item.kind is Kind.NUMBER:
            item.units = ("$",)
        currency = currency and item.kind in (Kind.OPERATOR, Kind.OPEN)
        spaced, line_start = False, written == "\n"
        yield item


def _item(kind: str, written: str, match: re.Match[str], *, spaced: bool) -> Item:
    start, end = match.span()
    match kind:
        case "number":
            return _number(written, start, end, spaced=spaced)
        case "equals":
            sign = "≈" if written == "≈" else "="
            return Item(Kind.EQUALS, sign, start, end, spaced=spaced)
        case "operator":
            sign = _WORDS.get(written, "^" if written == "**" else written)
            return Item(Kind.OPERATOR, sign, start, end, spaced=spaced)
        case "percent":
            return Item(Kind.OPERATOR, "%", start, end, spaced=spaced)
        case "odd":
            named = Kind.OPERATOR if written == "!" else Kind.ODD
            return Item(named, written, start, end, spaced=spaced)
        case _:
            return Item(Kind[kind.upper()], written, start, end, spaced=spaced)


def _number(written: str, start: int, end: int, *, spaced: bool) -> Item:
    digits = re.sub(r"[, ]", "", written)
    mantissa, _, exponent = digits.lower().partition("e")
    whole, _, decimals = mantissa.partition(".")
    if len(whole) > DIGITS or len(decimals) > DIGITS or abs(int(exponent or 0)) > DIGITS:
        return Item(Kind.ODD, written[:DIGITS], start, end, spaced=spaced)
    return Item(
        Kind.NUMBER,
        written,
        start,
        end,
        value=Fraction(digits),
        places=max(0, len(decimals) - int(exponent or 0)),
        spaced=spaced,
    )


def _with_units(items: list[Item]) -> list[Item]:
    """The items with percent signs, scales and units taken into their numbers."""
    read: list[Item] = []
    place = 0
    while place < len(items):
        item = items[place]
        place += 1
        if item.kind in _OPERANDS:
            place = _take_units(items, place, item)
        elif (
            item.text in _WORDS
            and read
            and read[-1].kind in _OPERANDS
            and _is_times(items, place - 1)
        ):
            item = Item(Kind.OPERATOR, _WORDS[item.text], item.start, item.end, spaced=True)
        read.append(item)
    return read


def _take_units(items: list[Item], place: int, number: Item) -> int:
    """Put what follows `number` and belongs to it into it; the place of the next item."""
    units = list(number.units)
    taken = 0
    while place < len(items) and taken < UNIT_WORDS:
        item = items[place]
        if item.text == "%" and item.kind is Kind.OPERATOR and not units[1:]:
            number.percent = number.kind is Kind.NUMBER
        elif item.kind is Kind.WORD:
            if (
                item.text in _WORDS
                and _is_times(items, place)
                and not (item.text == "of" and taken)
            ):
                break
            if item.text in _SCALES and taken == 0 and number.kind is Kind.NUMBER:
                number.scale = _SCALES[item.text]
            else:
                units.append(item.text.lower().rstrip("."))
                taken += 1
        elif item.kind is Kind.OPERATOR and _is_unit_sign(items, place):
            pass  # the word after it is next
        elif taken and item.text == "^" and _continues(items, place + 1):
            place += 1  # the power is of the unit: 15 cm^2
            item = items[place]
        elif (end := _comment(items, place)) > place:
            place = end - 1
            item = items[place]
        else:
            break
        number.end = item.end
        place += 1
    number.units = tuple(units)
    return place


def _is_times(items: list[Item], place: int) -> bool:
    """Whether the word at `place` is an operator; in `3x + 4` and `3x(4)` it is a variable."""
    word = items[place]
    if not _continues(items, place + 1):
        return False
    return word.spaced or items[place + 1].kind is Kind.NUMBER


def _is_unit_sign(items: list[Item], place: int) -> bool:
    """Whether the operator joins words: `miles/hour`, `12-mile`."""
    sign, follower = items[place], items[place + 1] if place + 1 < len(items) else None
    if follower is None or follower.kind is not Kind.WORD or len(follower.text) == 1:
        return False
    if follower.text in _WORDS or follower.spaced:
        return False
    return sign.text == "/" or (sign.text == "-" and not sign.spaced)


def _continues(items: list[Item], place: int) -> bool:
    """Whether an operand begins at `place`; `-3` does, `- 3` goes on from something else."""
    if place + 1 < len(items) and items[place].text in ("-", "+") and not items[place + 1].spaced:
        place += 1
    return place < len(items) and items[place].kind in (Kind.NUMBER, Kind.OPEN)


def _comment(items: list[Item], place: int) -> int:
    """The place after a bracket that begins with a word, `(for Ann)`; `place` if there is none."""
    if items[place].kind is not Kind.OPEN or place + 1 >= len(items):
        return place
    first = items[place + 1]
    if first.kind is not Kind.WORD or len(first.text) == 1:
        return place
    for end in range(place + 2, min(place + 2 + 2 * UNIT_WORDS, len(items))):
        if items[end].kind is Kind.CLOSE:
            return end + 1
        if items[end].kind in (Kind.OPEN, Kind.EQUALS):
            break
    return place
