"""Finding arithmetic slips in nano's solutions, to tell them from errors of reasoning.

For the model card only: whole numbers, `+ - * /` and chains of `=`. General
checks of steps are another matter and live elsewhere.
"""

from __future__ import annotations

import re
from fractions import Fraction

_CHAIN = re.compile(r"\d[\d+\-*/=]*=[\d+\-*/=]*\d")
_TERM = re.compile(r"([+-]?)(\d+(?:[*/]\d+)*)")
_FACTOR = re.compile(r"([*/]?)(\d+)")


def false_equation(text: str) -> str | None:
    """The first chain of equalities in `text` whose sides differ, or None."""
    for match in _CHAIN.finditer(text):
        values = {_value(side) for side in match.group(0).split("=")}
        if len(values) > 1:
            return match.group(0)
    return None


def _value(expression: str) -> Fraction | None:
    if not re.fullmatch(r"\d+([+\-*/]\d+)*", expression):
        return None
    total = Fraction(0)
    for sign, product in _TERM.findall(expression):
        value = Fraction(1)
        for op, number in _FACTOR.findall(product):
            if op == "/" and int(number) == 0:
                return None
            value = value / int(number) if op == "/" else value * int(number)
        total += -value if sign == "-" else value
    return total
