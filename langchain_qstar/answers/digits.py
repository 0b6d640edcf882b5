"""Bare numbers: what is written in digits, its exact value, and its one spelling.

Value decides: thousands separators, currency, units, percent signs, typographic signs
and markup do not matter. All arithmetic is exact (`fractions.Fraction`), and the work is
linear in the length of the text, which may come from a model that never stops.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from langchain_qstar.answers.signs import plain_signs

LENGTH: Final = 300
"""Most characters of a bare answer, and of a sentence that states one."""

_DIGITS: Final = 60
"""Most digits of a number, and largest exponent; beyond it, not an answer."""

_CURRENCY: Final = str.maketrans(dict.fromkeys("$€£¥₹", ""))
_LATEX: Final = (
    (re.compile(r"\\(?:text|mathrm|mathbf|boxed|fbox|textbf)\s*\{([^{}]*)\}?"), r"\1"),
    (re.compile(r"\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}"), r" \1/\2"),
    (re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)"), r" \1/\2"),
    (re.compile(r"\\times\s*10\s*\^\s*(?:\{\s*([-+]?\d+)\s*\}|([-+]?\d+))"), r"e\1\2"),
    (re.compile(r"\\(?:times|cdot)\b"), "*"),
    (re.compile(r"\\(?:approx|simeq)\b"), "="),
    (re.compile(r"\{,\}|,\\!"), ","),
    (re.compile(r"\\[()\[\]%!,;: ]|\\(?=\$)|\\$"), " "),
)
NUMBER: Final = re.compile(
    r"""(?P<sign>[-+]?)\s*
        (?:(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:[ ]\d{3})+(?!\d)|\d+)
           (?P<decimals>\.\d+)?
          |(?P<bare>\.\d+))
        (?:\s*[eE](?P<exponent>[-+]?\d{1,3})(?!\d))?
        (?:[ ]+(?P<part>\d+)/(?P<parts>\d+)|\s*/\s*(?P<divisor>\d+))?""",
    re.VERBOSE,
)
_SCALES: Final = {
    "k": 10**3,
    "hundred": 10**2,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_SCALE: Final = re.compile(rf"\s*({'|'.join(_SCALES)})\b", re.IGNORECASE)
_CONTINUES: Final = re.compile(
    r"""\s*(?:[-+*/^:']|\*\*)\s*[$(]?\s*\d  # an expression, a range, a time, feet and inches
        |\s*\^                              # a power
        |,\s*[-+]?\d                        # a list, or a misplaced separator
        |\d|\.\d
        |\s*(?:or|to|and|plus|minus|times|divided\sby|(?:out\s)?of|x)\s+\(?[-+]?\d
        |\s*[a-z]?\s*[-+*/^]\s*(?:[b-z]\b|\()
        |[xyz]\b
        |\s+(?:quadr|quint|sext|sept|oct|non|dec)\w*illion""",
    re.VERBOSE | re.IGNORECASE,
)
_WRAPPING: Final = '*_`~ \t\r\n#"'
"""What stands around a number; a leading period belongs to it, as in `.5`."""


def parse_number(text: str) -> Fraction | None:
    """The value of a bare answer such as `$1,250.50`, `3/4 cup` or `x = 20`.

    Args:
        text: The answer alone; units may follow the number, words may not
            come before it.

    Returns:
        The exact value, or None when there is no number or more than one.
    """
    if len(text) > LENGTH:
        return None
    cleaned = without_markup(text).rsplit("=", 1)[-1].strip(_WRAPPING)
    if cleaned.startswith("(") and cleaned.endswith(")"):
        cleaned = cleaned[1:-1].strip(_WRAPPING)
    match = NUMBER.match(cleaned)
    if match is None:
        return None
    if re.search(r"\d|[-+*/^=]\s*[a-z(]", cleaned[end_of(cleaned, match) :]):
        return None
    return value_of(cleaned, match)


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


def without_markup(text: str) -> str:
    """Text in plain signs, without currency, LaTeX commands and wrapping."""
    text = plain_signs(text.strip())
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    return text.translate(_CURRENCY).strip(_WRAPPING)


def end_of(text: str, match: re.Match[str]) -> int:
    """Where a number ends, with the `million` that belongs to it."""
    scale = _SCALE.match(text, match.end())
    return scale.end() if scale else match.end()


def value_of(text: str, match: re.Match[str]) -> Fraction | None:
    """The value of a match of `NUMBER`; None when it is a part of something else."""
    parts = match.groupdict()
    whole = re.sub(r"[, ]", "", parts["whole"] or "0")
    decimals = parts["decimals"] or parts["bare"] or ""
    exponent = int(parts["exponent"] or 0)
    long = max(len(whole), len(decimals), len(parts["parts"] or parts["divisor"] or ""))
    if long > _DIGITS or abs(exponent) > _DIGITS or len(parts["part"] or "") > _DIGITS:
        return None
    if _CONTINUES.match(text, end_of(text, match)):
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
        value *= _SCALES[scale[1].lower()]
    return -value if parts["sign"] == "-" else value
