"""How one operation is written out, in one of several valid ways.

Every function returns text such as `13*4=10*4+3*4=40+12=52`: a chain of equal
expressions that ends in the value. No step leaps: each equality follows from
the one before by one rule. Many valid ways for one problem are what gives
search and voting something to hold on to.
"""

from __future__ import annotations

import random
import re
from fractions import Fraction

_CHAIN = re.compile(r"\d[\d+\-*/=]*=[\d+\-*/=]*\d")
_TERM = re.compile(r"([+-]?)(\d+(?:[*/]\d+)*)")
_FACTOR = re.compile(r"([*/]?)(\d+)")


def _chain(*parts: object) -> str:
    return "=".join(str(part) for part in parts)


def write_sum(terms: list[int], rng: random.Random) -> str:
    """`a+b=c`, in either order, or with the second term split in tens and ones."""
    terms = list(terms)
    if rng.random() < 0.35:
        rng.shuffle(terms)
    if len(terms) > 2:
        return _long_sum(terms)
    a, b = terms
    tens, ones = b - b % 10, b % 10
    if tens and ones and a >= 10 and rng.random() < 0.3:
        return _chain(f"{a}+{b}", f"{a}+{tens}+{ones}", f"{a + tens}+{ones}", a + b)
    return _chain(f"{a}+{b}", a + b)


def _long_sum(terms: list[int]) -> str:
    parts = ["+".join(map(str, terms))]
    while len(terms) > 1:
        terms = [terms[0] + terms[1], *terms[2:]]
        parts.append("+".join(map(str, terms)))
    return _chain(*parts)


def write_difference(a: int, b: int, rng: random.Random) -> str:
    """`a-b=c`, or taking tens away first and then ones."""
    tens, ones = b - b % 10, b % 10
    if tens and ones and rng.random() < 0.35:
        return _chain(f"{a}-{b}", f"{a}-{tens}-{ones}", f"{a - tens}-{ones}", a - b)
    return _chain(f"{a}-{b}", a - b)


def write_product(a: int, b: int, rng: random.Random) -> str:
    """`a*b=c`, in either order, or with the larger factor split by place value."""
    big, small = max(a, b), min(a, b)
    tens, ones = big - big % 10, big % 10
    if big > 10 and ones and small > 1 and rng.random() < (0.45 if small < 10 else 0.9):
        return _chain(
            f"{big}*{small}",
            f"{tens}*{small}+{ones}*{small}",
            f"{tens * small}+{ones * small}",
            big * small,
        )
    if small == 2 and rng.random() < 0.2:
        return _chain(f"{big}+{big}", 2 * big)
    if rng.random() < 0.35:
        a, b = b, a
    return _chain(f"{a}*{b}", a * b)


def write_quotient(a: int, b: int, rng: random.Random) -> str:
    """`a/b=c` for exact division, or with the dividend split into easy multiples."""
    quotient = a // b
    tens, ones = quotient - quotient % 10, quotient % 10
    if tens and ones and rng.random() < 0.45:
        return _chain(f"{a}/{b}", f"{tens * b}/{b}+{ones * b}/{b}", f"{tens}+{ones}", quotient)
    return _chain(f"{a}/{b}", quotient)


def write_equation(op: str, operands: list[int], rng: random.Random) -> str:
    """Write `op` over `operands` in a random valid way.

    Raises:
        ValueError: `op` is not one of `+ - * /`.
    """
    if op == "+":
        return write_sum(operands, rng)
    a, b = operands
    if op == "-":
        return write_difference(a, b, rng)
    if op == "*":
        return write_product(a, b, rng)
    if op == "/":
        return write_quotient(a, b, rng)
    raise ValueError(f"unknown operation {op!r}")


def evaluate(op: str, operands: list[int]) -> int | None:
    """The exact value, or None when a division leaves a remainder."""
    if op == "+":
        return sum(operands)
    a, b = operands
    if op == "-":
        return a - b
    if op == "*":
        return a * b
    return a // b if b and a % b == 0 else None


def false_equation(text: str) -> str | None:
    """The first chain of equalities in `text` whose sides differ, or None.

    Reads whole numbers, `+ - * /` and `=` as this module writes them; anything
    else is left alone. For telling slips from errors of reasoning in figures;
    general checks of steps are another matter.
    """
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
