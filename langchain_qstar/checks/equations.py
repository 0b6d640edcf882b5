"""The equations in a step: which expressions of numbers it says are equal.

For each equals sign, the longest expression that ends before it and the longest
that begins after it. Where the text continues an expression with something that
is not a number (a variable, a function, a time of day), the side is not known
and the equation is left alone: reading half of `2x + 3 = 13` would be worse
than reading nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from langchain_qstar.checks.expressions import Expression, Unreadable, parse
from langchain_qstar.checks.lexing import ANNOTATION, Item, Kind, plain_notation, read

ITEMS: Final = 200
"""Most items of one side."""

SHOWN: Final = 80
"""Most characters of an equation that a reason quotes."""

_SIGNS: Final = ("=", "≈", "equal", "\\approx", "≃", "≅")
_PLAIN_LETTERS: Final = frozenset("gmlhsa")
"""Letters after a number that are units, or a word of their own."""

_TURNS: Final = frozenset(
    "twice double triple half third quarter than per squared cubed remainder r".split()
)
"""Words that change the value of what stands after or before them."""

_SHARES: Final = frozenset(
    "half third thirds quarter quarters fourth fourths fifth fifths tenth percent out each".split()
)
"""Words that take a part when `of` follows them; `a total of 3 + 4` takes none."""

_NAMING: Final = (Kind.WORD, Kind.NUMBER, Kind.CLOSE)
"""What may name the number after it, as in `day 2 = 3*4`."""


@dataclass(slots=True)
class Side:
    """One side of an equation.

    Attributes:
        text: How it is written.
        expression: What it says.
        label: Whether words stand right before it, which may number it: `day 2 = ...`.
        doubts: Why its meaning is doubtful, if it is.
    """

    text: str
    expression: Expression
    label: bool
    doubts: tuple[str, ...]

    @property
    def units(self) -> frozenset[str]:
        """The first word after each of its numbers, or the sign before it."""
        return frozenset(item.units[0] for item in self.expression.numbers() if item.units)


@dataclass(slots=True)
class Equation:
    """Two sides that the text says are equal, or about equal.

    Attributes:
        text: How it is written, at most `SHOWN` characters.
        left: The first side; None when it could not be read.
        right: The second side; None when it could not be read.
        exact: Whether it says equal, not about equal.
        chained: Whether its left side is the right side of the equation before.
        problem: Why a side could not be read.
    """

    text: str
    left: Side | None
    right: Side | None
    exact: bool
    chained: bool = False
    problem: str = ""


def find_equations(text: str) -> list[Equation]:
    """All equations of a step, in order; calculator annotations count as text of their own."""
    parts = [ANNOTATION.sub(" ", text), *ANNOTATION.findall(text)]
    return [
        equation
        for part in parts
        if any(sign in part for sign in _SIGNS)
        for equation in _equations(plain_notation(part))
    ]


def _equations(text: str) -> Iterator[Equation]:
    items = read(text)
    signs = [place for place, item in enumerate(items) if item.kind is Kind.EQUALS]
    bounds = [-1, *signs, len(items)]
    for number, sign in enumerate(signs):
        sides = _Sides(text, items, bounds[number] + 1, sign, bounds[number + 2])
        problem = ""
        try:
            begin, left = sides.before()
        except Unreadable as unreadable:
            begin, left, problem = sign, None, str(unreadable)
        try:
            end, right = sides.after()
        except Unreadable as unreadable:
            end, right, problem = sign + 1, None, problem or str(unreadable)
        yield Equation(
            text=_shown(text, items[begin].start, items[end - 1].end),
            left=left,
            right=right,
            exact=items[sign].text == "=",
            chained=number > 0 and begin == sides.first,
            problem=problem,
        )


def _shown(text: str, begin: int, end: int) -> str:
    """This part of the text on one line, cut when it is long."""
    shown = " ".join(text[begin : min(end, begin + SHOWN)].split())
    return shown if end - begin <= SHOWN else shown + "…"


@dataclass(slots=True)
class _Sides:
    """The items around one equals sign, and what can be read there.

    Attributes:
        text: What the items were read from.
        items: All of them.
        first: Where the text before the sign begins.
        sign: The equals sign.
        last: Where the text after the sign ends.
    """

    text: str
    items: Sequence[Item]
    first: int
    sign: int
    last: int

    def before(self) -> tuple[int, Side]:
        """Where the longest expression before the sign begins, and that expression."""
        problem = "nothing to compute before the equals sign"
        for place in range(self._reach(), self.sign):
            if self.items[place].kind is Kind.CLOSE:
                continue
            try:
                parsed = parse(self.items, place, self.sign)
            except Unreadable as unreadable:
                problem = str(unreadable)
                continue
            if parsed.end == self.sign:
                _refuse(self._cut_before(place) or _variable(parsed.expression))
                doubts = (*parsed.doubts, *self._turned(place))
                label = place > self.first and self.items[place - 1].kind in _NAMING
                return place, self._side(place, self.sign, parsed.expression, doubts, label=label)
        raise Unreadable(problem)

    def after(self) -> tuple[int, Side]:
        """Where the longest expression after the sign ends, and that expression."""
        start = self.sign + 1
        parsed = parse(self.items, start, min(self.last, start + ITEMS))
        _refuse(self._cut_after(parsed.end) or _variable(parsed.expression))
        word = next(iter(self.items[parsed.end - 1].units), "")
        turned = (f"'{word}' after it",) if word in _TURNS else ()
        doubts = (*parsed.doubts, *turned)
        return parsed.end, self._side(start, parsed.end, parsed.expression, doubts, label=False)

    def _side(
        self, begin: int, end: int, expression: Expression, doubts: tuple[str, ...], *, label: bool
    ) -> Side:
        text = _shown(self.text, self.items[begin].start, self.items[end - 1].end)
        return Side(text, expression, label, doubts)

    def _reach(self) -> int:
        """The first item from which an expression can go on to the sign.

        Raises:
            Unreadable: It is too far away.
        """
        start = self.sign
        while start > self.first and self._joins(start - 1):
            start -= 1
            if self.sign - start > ITEMS:
                raise Unreadable(f"a side of more than {ITEMS} numbers and signs")
        return start

    def _joins(self, place: int) -> bool:
        """Whether an expression can go on from `place` to the item after it."""
        item, follower = self.items[place], self.items[place + 1]
        if item.kind not in (Kind.NUMBER, Kind.OPERATOR, Kind.OPEN, Kind.CLOSE):
            return False
        operands = item.kind in (Kind.NUMBER, Kind.CLOSE) and follower.kind is Kind.NUMBER
        return not operands or (not item.units and not item.places and follower.spaced)

    def _cut_before(self, place: int) -> str:
        """Why the expression is only the end of a longer one, or nothing."""
        if place == self.first:
            return ""
        before, item = self.items[place - 1], self.items[place]
        if before.kind is Kind.OPERATOR:
            return f"it begins before '{item.text}'"
        if before.kind is Kind.ODD:
            return f"'{before.text}' is not read"
        if before.kind is Kind.WORD and not item.spaced and item.kind is not Kind.OPERATOR:
            return f"'{before.text}' is a function or a variable"
        if before.kind is Kind.WORD and item.kind is Kind.OPERATOR and not self._is_sign(place):
            return f"'{before.text}' is a variable"
        return ""

    def _is_sign(self, place: int) -> bool:
        """Whether the operator after a word is the sign of a number: `it is -3 + 5`."""
        before, item, after = self.items[place - 1 : place + 2]
        return item.text == "-" and item.spaced and not after.spaced and len(before.text) > 1

    def _cut_after(self, place: int) -> str:
        """Why the expression is only the beginning of a longer one, or nothing."""
        if place >= self.last:
            return ""
        after = self.items[place]
        if after.kind is Kind.OPERATOR and after.text != "!":
            return f"it goes on after '{after.text}'"
        if after.kind is Kind.ODD or (after.kind is Kind.NUMBER and not after.spaced):
            return f"'{after.text}' is not read"
        return ""

    def _turned(self, place: int) -> tuple[str, ...]:
        """A word before the expression that changes what it says: `twice 3 + 4`."""
        if place == self.first:
            return ()
        words = [""]
        for item in self.items[max(self.first, place - 2) : place]:
            words += [item.text.lower()] if item.kind is Kind.WORD else item.units
        turns = words[-1] in _TURNS or (words[-1] == "of" and words[-2] in _SHARES)
        return (f"'{words[-1]}' before it",) if turns else ()


def _refuse(problem: str) -> None:
    if problem:
        raise Unreadable(problem)


def _variable(expression: Expression) -> str:
    """Why a letter on a number is a variable, or nothing: `2x`."""
    for item in expression.numbers():
        for unit in item.units:
            if len(unit) == 1 and unit.isalpha() and unit not in _PLAIN_LETTERS:
                return f"'{unit}' is a variable"
    return ""
