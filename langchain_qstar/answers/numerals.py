"""English words for numbers: `twenty-one`, `one hundred and five`, `two and a half`.

Up to trillions. Words become digits in place, so that one reader reads both. What has
other meanings stays a word: `one` and `a quarter` within a sentence (`the other one`),
`half of the 30` (a calculation), `two dozen` (24 eggs, or two boxes of a dozen).
"""

from __future__ import annotations

import re
from typing import Final

_ONES: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS: Final = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen"),
    *("sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES: Final = (
    {"zero": 0}
    | {word: value for value, word in enumerate((*_ONES, *_TEENS), start=1)}
    | {word: 10 * value for value, word in enumerate(_TENS, start=2)}
)
_SCALES: Final = {"trillion": 10**12, "billion": 10**9, "million": 10**6, "thousand": 10**3}
_PARTS: Final = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6} | {
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
}


def _any(words: tuple[str, ...]) -> str:
    return f"(?:{'|'.join(words)})"


_JOIN: Final = "(?:-and-|[ ]and[ ]|[ ]|-)"
_BELOW_100: Final = rf"(?:{_any(_TENS)}(?:[ -]{_any(_ONES)})?|{_any((*_ONES, *_TEENS))})\b"
_BELOW_1000: Final = rf"(?:(?:{_BELOW_100}|an?)[ -]hundred\b(?:{_JOIN}{_BELOW_100})?|{_BELOW_100})"
_WORDED: Final = re.compile(
    r"(?<![\w-])(?:zero\b|(?=\w)"
    + "".join(
        rf"(?:(?:{_BELOW_1000}|an?)[ -]{scale}\b(?:{_JOIN}(?={_any(tuple(_VALUES))}\b))?)?"
        for scale in _SCALES
    )
    + rf"(?:{_BELOW_1000})?)(?<=\w)(?P<point>(?:[ ]point)(?:[ ]{_any(('zero', *_ONES))}\b)+)?",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[a-z]+")
_PART: Final = rf"(?:halves|{_any(tuple(_PARTS))}s?)\b"
_FRACTION: Final = re.compile(
    rf"(?<![\w/.-])(an?|\d{{1,3}})[ -]({_PART})(?![ ]of[ ](?:the[ ])?\d)", re.IGNORECASE
)
_HALF: Final = re.compile(r"(?<![\w/-])half\b(?![ ]of[ ](?:the[ ])?\d)", re.IGNORECASE)
_DOZEN: Final = re.compile(r"(?<![\w-])(half[ ])?an?[ ]dozen\b", re.IGNORECASE)
_AND_PART: Final = re.compile(r"(?<=\d)[ ]and[ ](?=\d+/\d)", re.IGNORECASE)
_MINUS: Final = re.compile(r"\b(?:minus|negative)[ ]+(?=[.\d])", re.IGNORECASE)
_WITHIN: Final = re.compile(r"\w\W*$")
_JOINED: Final = re.compile(r"\d[ ]and[ ]$", re.IGNORECASE)


def digits_for_words(text: str) -> str:
    """A phrase with digits where words say a number.

    >>> digits_for_words("minus twenty-one apples"), digits_for_words("two and a half")
    ('-21 apples', '2 1/2')
    """
    text = _DOZEN.sub(lambda found: "6" if found[1] else "12", text)
    text = _WORDED.sub(_whole, text)
    text = _FRACTION.sub(_fraction, text)
    text = _HALF.sub(lambda found: found[0] if _WITHIN.search(_before(found)) else "1/2", text)
    return _MINUS.sub("-", _AND_PART.sub(" ", text))


def _before(found: re.Match[str]) -> str:
    """The characters right before a match."""
    return found.string[max(0, found.start() - 12) : found.start()]


def _whole(found: re.Match[str]) -> str:
    written = found.group().lower()
    after = found.string[found.end() : found.end() + 12].lower()
    if not written or after.startswith(" dozen"):
        return found.group()
    if written == "one" and not re.match(rf"[ -]{_PART}", after):
        return found.group() if _WITHIN.search(_before(found)) or after[:4] == " of " else "1"
    whole, _, decimals = written.partition(" point ")
    digits = "".join(str(_VALUES[each]) for each in decimals.split())
    return f"{_value(whole)}.{digits}" if digits else str(_value(whole))


def _value(written: str) -> int:
    """The value of a numeral that has the form of one."""
    total = group = 0
    for word in _WORD.findall(written):
        if word in _SCALES:
            total, group = total + group * _SCALES[word], 0
        elif word == "hundred":
            group *= 100
        elif word != "and":
            group += 1 if word in {"a", "an"} else _VALUES[word]
    return total + group


def _fraction(found: re.Match[str]) -> str:
    """`a third` or `2 thirds` as 1/3 or 2/3, unless it is a word of a sentence."""
    before = _before(found)
    if found[1].isalpha() and _WITHIN.search(before) and not _JOINED.search(before):
        return found.group()
    name = found[2].lower()
    parts = 2 if name == "halves" else _PARTS[name.removesuffix("s")]
    return f"{1 if found[1].isalpha() else found[1]}/{parts}"
