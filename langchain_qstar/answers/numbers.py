"""Numeric answers: finding them in text, their canonical form, their equality.

Value decides: thousands separators, currency, units, percent signs and markup
do not matter. Text that holds no number, or several candidates, is no answer.
All arithmetic is exact (`fractions.Fraction`), and the work is linear in the
length of the text, which may come from a model that never stops.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from langchain_qstar.answers.markers import announced

_REST: Final = 300
"""Characters after an answer's marker that are read."""

_DIGITS: Final = 60
"""Most digits of a number, and largest exponent; beyond it, not an answer."""

_TRANSLATION: Final = str.maketrans(
    {"−": "-", "–": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " "} | dict.fromkeys("$€£¥₹", "")
)
_LATEX: Final = (
    (re.compile(r"\\(?:text|mathrm|mathbf|boxed|textbf)\s*\{([^{}]*)\}?"), r"\1"),
    (re.compile(r"\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}"), r" \1/\2"),
    (re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)"), r" \1/\2"),
    (re.compile(r"\\times\s*10\s*\^\s*(?:\{\s*([-+]?\d+)\s*\}|([-+]?\d+))"), r"e\1\2"),
    (re.compile(r"\{,\}|,\\!"), ","),
    (re.compile(r"\\[()\[\]%!,;: ]|\\(?=\$)|\\$"), " "),
)
_NUMBER: Final = re.compile(
    r"""(?P<sign>[-+]?)\s*
        (?:(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:[ ]\d{3})+(?!\d)|\d+)
           (?P<decimals>\.\d+)?
          |(?P<bare>\.\d+))
        (?:\s*[eE](?P<exponent>[-+]?\d{1,3})(?!\d))?
        (?:[ ]+(?P<part>\d+)/(?P<parts>\d+)|\s*/\s*(?P<divisor>\d+))?""",
    re.VERBOSE,
)
_SCALE: Final = re.compile(r"\s*(k|thousand|million|billion|trillion)\b", re.IGNORECASE)
_SCALES: Final = {
    "k": 10**3,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_CONTINUES: Final = re.compile(
    r"""\s*(?:[-+*/^×÷:]|\*\*)\s*\(?\s*\d   # an expression, a range, a time
        |\s*\^                              # a power
        |,\s*\d                             # a list, or a misplaced separator
        |\d|\.\d
        |\s*(?:or|to|and)\s+\(?[-+]?\d""",
    re.VERBOSE | re.IGNORECASE,
)
_FLOAT: Final = re.compile(r"\.\d{7}")
_WRAPPING: Final = "*_`~ \t\r\n.#"


def parse_number(text: str) -> Fraction | None:
    """The value of a bare answer such as `$1,250.50`, `3/4 cup` or `x = 20`.

    Args:
        text: The answer alone; units may follow the number, words may not
            come before it.

    Returns:
        The exact value, or None when there is no number or more than one.
    """
    if len(text) > _REST:
        return None
    cleaned = _clean(text)
    match = _NUMBER.match(cleaned)
    if match is None or re.search(r"\d|[-+*/^=]\s*[a-z(]", cleaned[_end(cleaned, match) :]):
        return None
    return _value(cleaned, match)


def find_number(text: str) -> Fraction | None:
    """The value of the first number in a phrase such as `she has 5 apples left`.

    Returns:
        The exact value; None when there is none, or when it is part of an
        expression, a range or a list.
    """
    cleaned = _clean(text[:_REST])
    match = _NUMBER.search(cleaned)
    return None if match is None else _value(cleaned, match)


def final_number(text: str) -> str | None:
    r"""The canonical final answer that a solution states.

    The last marker counts: `answer is`, `Answer:`, `A:`, `####` or `\boxed{`.
    The number is sought in the rest of its line, or in the next line when
    nothing follows. Numbers that no marker announces are not answers.

    Args:
        text: A whole solution; only its last 20,000 characters are read.

    Returns:
        The canonical form (`canonical_number`), or None.
    """
    rest = announced(text)
    if rest is None:
        return None
    lines = [line for line in rest[:_REST].splitlines() if line.strip(_WRAPPING + ":=")]
    value = find_number(lines[0]) if lines else None
    return None if value is None else canonical_number(value)


def canonical_number(value: Fraction) -> str:
    """The one spelling of a value: `30`, `-2.5`, or `1/3` when decimals never end."""
    twos, fives, rest = 0, 0, value.denominator
    while rest % 2 == 0:
        twos, rest = twos + 1, rest // 2
    while rest % 5 == 0:
        fives, rest = fives + 1, rest // 5
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator).zfill(places + 1)
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


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


def _clean(text: str) -> str:
    """Text without currency, LaTeX and markup, from the last equals sign on."""
    text = text.strip()
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    text = text.translate(_TRANSLATION).rsplit("=", 1)[-1].strip(_WRAPPING_START)
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    return text.strip(_WRAPPING_START)


# A leading period belongs to a number such as `.5`.
_WRAPPING_START: Final = _WRAPPING.replace(".", "")


def _end(text: str, match: re.Match[str]) -> int:
    scale = _SCALE.match(text, match.end())
    return scale.end() if scale else match.end()


def _value(text: str, match: re.Match[str]) -> Fraction | None:
    parts = match.groupdict()
    whole = re.sub(r"[, ]", "", parts["whole"] or "0")
    decimals = parts["decimals"] or parts["bare"] or ""
    exponent = int(parts["exponent"] or 0)
    long = max(len(whole), len(decimals), len(parts["parts"] or parts["divisor"] or ""))
    if long > _DIGITS or abs(exponent) > _DIGITS or len(parts["part"] or "") > _DIGITS:
        return None
    if _CONTINUES.match(text, match.end()):
        return None
    value = Fraction(whole + decimals) * Fraction(10) ** exponent
    divisor = int(parts["parts"] or parts["divisor"] or 1)
    if divisor == 0:
        return None
    if parts["part"]:
        value += Fraction(int(parts["part"]), divisor)
    else:
        value /= divisor
    scale = _SCALE.match(text, match.end())
    if scale:
        value *= _SCALES[scale.group(1).lower()]
    return -value if parts["sign"] == "-" else value
