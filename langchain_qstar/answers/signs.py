"""Typographic signs as the plain ones that they stand for: `½`, `−`, `×`, `1’000`, `４２`.

Models and people write them in answers; every reader of answers puts them aside first.
Linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_SIGNS: Final = str.maketrans(
    dict.fromkeys("−‐‑‒–﹣", "-")
    | dict.fromkeys("×✕✖⋅·∙", "*")
    | dict.fromkeys("∕⁄", "/")
    | {"÷": "/", "≈": "=", "≃": "=", "≅": "="}
    | dict.fromkeys("“”„«»", '"')
    | dict.fromkeys("‘’‚′", "'")
    | dict.fromkeys(
        "\u00a0\u1680\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
    )
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad")
    | {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    | {"－": "-"}
    | {"。": "."}
)
_FRACTION: Final = re.compile("[¼-¾⅐-⅞↉]")
_SUPERSCRIPT: Final = re.compile("[⁰¹²³⁴-⁹]+")
_DIGIT: Final = re.compile(r"(?![0-9])\d")
_GROUPED: Final = re.compile(r"(?<=\d)(?:'(?=\d{3}(?!\d))|_(?=\d))")
_ROOT: Final = re.compile(r"√\s*(?:\(([^()]*)\)|([0-9]+(?:\.[0-9]+)?|[a-zA-Z]))")
_LATEX: Final = str.maketrans(
    {"×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "÷": "/"}
    | {"π": r"\pi ", "∞": r"\infty ", "±": r"\pm ", "≤": r"\leq ", "≥": r"\geq ", "≠": r"\neq "}
    | dict.fromkeys("−‒–﹣", "-")
    | dict.fromkeys("\u00a0\u2007\u2009\u200a\u202f\u3000", " ")
    | dict.fromkeys("\u200b\u2060\ufeff")
    | {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
)


def plain_signs(text: str) -> str:
    """Text with the signs of a keyboard; of digits, any script's become 0 to 9.

    >>> plain_signs("2½ × −３"), plain_signs("1’000")
    ('2 1/2 * -3', '1000')
    """
    if text.isascii():
        return _GROUPED.sub("", text) if "'" in text or "_" in text else text
    text = _FRACTION.sub(
        lambda found: f" {_parts(found.group())[0]}/{_parts(found.group())[1]}", text
    )
    text = _SUPERSCRIPT.sub(lambda found: f"^{_digits(found.group())}", text)
    text = _DIGIT.sub(lambda found: str(unicodedata.digit(found.group())), text.translate(_SIGNS))
    return _GROUPED.sub("", text)


def latex_signs(text: str) -> str:
    r"""A formula with the commands of LaTeX for signs that are none of its own.

    >>> print(latex_signs("½ + √2"))
    \frac{1}{2} + \sqrt{2}
    """
    if text.isascii():
        return text
    text = _FRACTION.sub(lambda found: r"\frac{{{}}}{{{}}}".format(*_parts(found.group())), text)
    text = _ROOT.sub(lambda found: rf"\sqrt{{{found[1] or found[2]}}}", text)
    text = _SUPERSCRIPT.sub(lambda found: f"^{{{_digits(found.group())}}}", text)
    return text.translate(_LATEX)


def _digits(raised: str) -> str:
    return unicodedata.normalize("NFKC", raised)


def _parts(sign: str) -> tuple[str, str]:
    """Numerator and denominator of a fraction that is one sign."""
    numerator, _, denominator = unicodedata.normalize("NFKC", sign).partition("\u2044")
    return numerator, denominator
