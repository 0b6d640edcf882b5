"""Expressions of numbers: their syntax, and their exact value.

A recursive descent over the items of `lexing`, then an evaluation in
`fractions.Fraction`. Both are bounded: brackets by `DEPTH`, values by `BITS`,
so that `9**9**9` or a factorial of a million is refused, not computed.

People write percent signs and words such as `million` loosely, so an expression
can be evaluated in more than one `Reading`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import factorial
from typing import Final, NamedTuple

from langchain_qstar.checks.lexing import Item, Kind

DEPTH: Final = 30
"""Most brackets inside each other."""

BITS: Final = 4096
"""Most bits of a numerator or denominator; 4096 bits are 1,233 digits."""

FACTORIAL: Final = 100
"""Largest number whose factorial is computed."""


class Unreadable(Exception):  # noqa: N818  # not an error: data about a text
    """The items are no expression, or its value is not computed; says why."""


class Reading(NamedTuple):
    """How loose notation is taken.

    Attributes:
        percent: A percent sign that stands alone or in a sum divides by 100; it
            always does in a product, where only `100%` may stand for 100.
        scale: Words such as `million` multiply.
    """

    percent: bool = True
    scale: bool = True


@dataclass(slots=True)
class Expression:
    """An operation on expressions, or a number.

    Attributes:
        operator: One of `+ - * / ^`, `neg`, `!`, `%`, or `number`.
        parts: The operands; none of a number.
        item: The number.
    """

    operator: str
    parts: tuple[Expression, ...] = ()
    item: Item | None = None

    @property
    def is_number(self) -> bool:
        """Whether it is a number with at most a sign: nothing to compute."""
        return self.operator == "number" or (self.operator == "neg" and self.parts[0].is_number)

    def numbers(self) -> Iterator[Item]:
        """The numbers in it, in order."""
        if self.item is not None:
            yield self.item
        for part in self.parts:
            yield from part.numbers()


@dataclass(slots=True)
class Parsed:
    """An expression, the place after it, and what makes its meaning doubtful."""

    expression: Expression
    end: int
    doubts: list[str]


def parse(items: Sequence[Item], start: int, end: int) -> Parsed:
    """The longest expression that begins at `start` and ends before `end`.

    Raises:
        Unreadable: None begins there.
    """
    parser = _Parser(items, start, end)
    return Parsed(parser.sum(0), parser.place, parser.doubts)


def value(expression: Expression, reading: Reading) -> Fraction:
    """The exact value.

    Raises:
        Unreadable: It divides by zero, or is too large to be computed.
    """
    return _value(expression, reading, alone=True)


class _Parser:
    """The grammar; each method reads one level of precedence from `place` on."""

    def __init__(self, items: Sequence[Item], start: int, end: int) -> None:
        self._items = items
        self.place = start
        self._end = end
        self.doubts: list[str] = []

    def sum(self, depth: int) -> Expression:
        left = self._product(depth)
        while (sign := self._operator("+", "-")) and self._operand_after():
            self.place += 1
            left = Expression(sign, (left, self._product(depth)))
        return left

    def _product(self, depth: int) -> Expression:
        left = self._signed(depth)
        while True:
            sign = self._operator("*", "/", "of")
            if sign and self._operand_after():
                self._doubt_division(sign)
                self.place += 1
                if sign == "of" and not _is_share(left):
                    self.doubts.append("'of' after a number that is no share")
                left = Expression("*" if sign == "of" else sign, (left, self._signed(depth)))
            elif self._is_implicit():
                if self._items[self.place].spaced:
                    self.doubts.append("a bracket after a number")
                left = Expression("*", (left, self._signed(depth)))
            else:
                return left

    def _doubt_division(self, sign: str) -> None:
        """`3 / 1/2` may mean a division by a half."""
        after = self._items[self.place + 2 : self.place + 3]
        if sign == "/" and after and after[0].text == "/" and self._items[self.place].spaced:
            self.doubts.append("a fraction after a division")

    def _signed(self, depth: int) -> Expression:
        sign = self._operator("-", "+")
        if not sign:
            return self._power(depth)
        if depth >= DEPTH:
            raise Unreadable("nested too deeply")
        self.place += 1
        operand = self._signed(depth + 1)
        return Expression("neg", (operand,)) if sign == "-" else operand

    def _power(self, depth: int) -> Expression:
        base = self._postfix(self._atom(depth))
        if self._operator("^") and self._operand_after():
            self.place += 1
            if depth >= DEPTH:
                raise Unreadable("nested too deeply")
            return Expression("^", (base, self._signed(depth + 1)))
        return base

    def _postfix(self, operand: Expression) -> Expression:
        if self._operator("%"):
            self.place += 1
            operand = Expression("%", (operand,))
        if self._operator("!") and self._is_factorial():
            self.place += 1
            operand = Expression("!", (operand,))
        return operand

    def _atom(self, depth: int) -> Expression:
        if self.place >= self._end:
            raise Unreadable("an operand is missing")
        item = self._items[self.place]
        if item.kind is Kind.NUMBER:
            self.place += 1
            return self._mixed(item)
        if item.kind is not Kind.OPEN:
            raise Unreadable("an operand is missing")
        if depth >= DEPTH:
            raise Unreadable("nested too deeply")
        self.place += 1
        inner = self.sum(depth + 1)
        if self.place >= self._end or self._items[self.place].kind is not Kind.CLOSE:
            raise Unreadable("a bracket is not closed")
        self.place += 1
        return inner

    def _mixed(self, whole: Item) -> Expression:
        """A number, or a whole number with a fraction after it: `1 1/2`."""
        number = Expression("number", item=whole)
        fraction = self._items[self.place : min(self.place + 3, self._end)]
        if len(fraction) < 3 or whole.places or whole.units or whole.percent:
            return number
        top, slash, bottom = fraction
        adjacent = top.kind is bottom.kind is Kind.NUMBER and slash.text == "/"
        if not adjacent or slash.spaced or bottom.spaced or not top.value < bottom.value:
            return number
        self.place += 3
        part = Expression("/", (Expression("number", item=top), Expression("number", item=bottom)))
        return Expression("+", (number, part))

    def _operator(self, *signs: str) -> str:
        """The operator at hand if it is one of these, else nothing."""
        if self.place >= self._end:
            return ""
        item = self._items[self.place]
        return item.text if item.kind is Kind.OPERATOR and item.text in signs else ""

    def _operand_after(self) -> bool:
        """Whether an operand follows the operator at hand."""
        place = self.place + 1
        while place < self._end and self._items[place].text in ("-", "+"):
            place += 1
        return place < self._end and self._items[place].kind in (Kind.NUMBER, Kind.OPEN)

    def _is_implicit(self) -> bool:
        """Whether a bracket follows at once, which multiplies: `5(3+4)`."""
        return self.place < self._end and self._items[self.place].kind is Kind.OPEN

    def _is_factorial(self) -> bool:
        """Whether the exclamation mark at hand is not the end of a sentence."""
        if self.place + 1 >= len(self._items):
            return False
        follower = self._items[self.place + 1]
        return follower.kind in (Kind.OPERATOR, Kind.EQUALS, Kind.CLOSE)


def _is_share(expression: Expression) -> bool:
    """Whether `of` after it multiplies: `40%`, `2/3`, `0.5`."""
    if expression.operator == "number":
        item = expression.item
        return item is not None and (item.percent or item.places > 0)
    return expression.operator in ("/", "%", "+")


def _value(expression: Expression, reading: Reading, *, alone: bool) -> Fraction:
    """The value; `alone` says that it is no part of a product."""
    if expression.item is not None:
        return _number(expression.item, reading, alone=alone)
    alone = alone and expression.operator in ("+", "-", "neg")
    parts = [_value(part, reading, alone=alone) for part in expression.parts]
    return _bounded(_APPLIED[expression.operator](*parts))


def _number(item: Item, reading: Reading, *, alone: bool) -> Fraction:
    number = item.value * item.scale if reading.scale else item.value
    if item.percent and (reading.percent or not (alone or item.value == 100)):
        number /= 100
    return number


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise Unreadable("a power with a fraction")
    if base == 0 and exponent < 0:
        raise Unreadable("it divides by zero")
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits > 1 and abs(exponent) * bits > BITS:
        raise Unreadable("a number too large")
    if abs(exponent) > 10**9:
        raise Unreadable("a number too large")
    return base ** int(exponent)


def _factorial(number: Fraction) -> Fraction:
    if number.denominator != 1 or not 0 <= number <= FACTORIAL:
        raise Unreadable("a factorial that is not computed")
    return Fraction(factorial(int(number)))


def _quotient(number: Fraction, divisor: Fraction) -> Fraction:
    if divisor == 0:
        raise Unreadable("it divides by zero")
    return number / divisor


def _bounded(number: Fraction) -> Fraction:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > BITS:
        raise Unreadable("a number too large")
    return number


_APPLIED: Final[dict[str, Callable[..., Fraction]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _quotient,
    "^": _power,
    "neg": operator.neg,
    "!": _factorial,
    "%": lambda number: number / 100,
}


def readings(expression: Expression) -> Iterable[Reading]:
    """The ways in which this expression may be meant, the literal one first."""
    numbers = list(expression.numbers())
    percents = (True, False) if any(each.percent for each in numbers) else (True,)
    scales = (True, False) if any(each.scale != 1 for each in numbers) else (True,)
    return [Reading(percent, scale) for percent in percents for scale in scales]
