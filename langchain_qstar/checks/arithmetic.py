"""The arithmetic check: are the equations of a step true?

Every equation between numbers is evaluated exactly. A result passes when it is
the value, or the value rounded to the digits that are written. An equation
whose meaning is doubtful (a conversion of units, a percentage added to a number)
can pass but not fail. What holds variables, functions or no equation is not
checkable, and so is a text that is too long or holds hidden characters.

It says nothing about whether the right things were computed.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Final, NamedTuple

from langchain_qstar.answers import canonical_number, final_number
from langchain_qstar.checks.equations import Equation, Side, find_equations
from langchain_qstar.checks.expressions import Unreadable, readings, value
from langchain_qstar.checks.reading import hidden
from langchain_qstar.protocols import State

LENGTH: Final = 20_000
"""Most characters of a step that is read."""

REMEMBERED: Final = 4096
"""Steps whose findings are kept; a search meets the same text in many states."""

_DIGITS: Final = 24
"""Most digits of a value in a reason."""

_MEASURES: Final = tuple(
    frozenset(names.split())
    for names in (
        """second seconds minute minutes hour hours day days week weeks month months year years
        decade decades century centuries min mins hr hrs""",
        """$ cent cents penny pennies nickel nickels dime dimes quarter quarters dollar dollars""",
        """inch inches foot feet yard yards mile miles meter meters metre metres kilometer
        kilometers centimeter centimeters millimeter millimeters km cm mm""",
        """gram grams g kg kilogram kilograms ounce ounces oz pound pounds lb lbs ton tons mg""",
        """ml milliliter milliliters l liter liters litre litres cup cups pint pints quart quarts
        gallon gallons""",
    )
)
"""Units of one quantity each; two of them in an equation may mean a conversion."""

_COUNTED: Final = {"dozen": 12, "pair": 2, "hundred": 100, "score": 20}
"""Words that multiply what they count."""

_CLOCK: Final = frozenset("am pm a.m p.m".split())
"""Words that make a number a time of day."""


_LETTERS: Final = frozenset("gmlhs")
"""Letters that are a unit or a variable; any other after a number is a variable."""


class Findings(NamedTuple):
    """What the equations of a text came to.

    Attributes:
        verdict: True when all that could be judged are true, False when one is
            not, None when none could be judged.
        reason: The first false equation and its value, or why nothing was judged.
        results: The values that true equations end in, in canonical form.
    """

    verdict: bool | None
    reason: str
    results: tuple[str, ...] = ()


def arithmetic(state: State, step: str) -> tuple[bool | None, str]:
    """Judge a step by its equations, or by where the answer it states comes from.

    A step without an equation that states a numeric answer passes when a true
    equation of an earlier step, or of this one, ends in that number.

    Args:
        state: The steps before.
        step: The text of the step.

    Returns:
        True, False or None (not checkable), and the reason.
    """
    findings = check_text(step)
    if findings.verdict is False or len(step) > LENGTH:
        return findings.verdict, findings.reason
    answer = final_number(step)
    if answer is None or answer in findings.results:
        return findings.verdict, findings.reason
    if any(answer in check_text(each.text).results for each in reversed(state.steps)):
        return True, f"{answer} is the result of an earlier step"
    return None, f"no true equation gives {answer}"


arithmetic.calculation = True  # type: ignore[attr-defined]  # see `protocols.StepCheck`


@lru_cache(REMEMBERED)
def check_text(text: str) -> Findings:
    """Evaluate all equations of `text`, in time linear in its length."""
    if len(text) > LENGTH:
        return Findings(None, f"longer than {LENGTH} characters")
    if problem := hidden(text):
        return Findings(None, problem)
    verdict: bool | None = None
    reason = "no equation"
    results: list[str] = []
    for equation in find_equations(text):
        held, why = _judge(equation)
        if held is False:
            return Findings(verdict=False, reason=why)
        if held and equation.right:
            verdict = True
            results.append(canonical_number(_values(equation.right)[0]))
        elif verdict is None and reason == "no equation":
            reason = why
    if verdict:
        reason = "1 equation holds" if len(results) == 1 else f"{len(results)} equations hold"
    return Findings(verdict, reason, tuple(results))


def _judge(equation: Equation) -> tuple[bool | None, str]:
    left, right = equation.left, equation.right
    if left is None or right is None:
        return None, equation.problem
    bare = left.expression.is_number and right.expression.is_number
    if bare and (not equation.chained or left.units or right.units):
        return None, "nothing to compute"
    try:
        lefts, rights = _values(left), _values(right)
    except Unreadable as unreadable:
        return None, str(unreadable)
    if any(
        one == other or _is_rounded(one, right, other) or _is_rounded(other, left, one)
        for one in lefts
        for other in rights
    ):
        return (None, "nothing to compute") if bare else (True, "")
    one, other = lefts[0], rights[0]
    if doubt := _doubt(equation, left, right, one, other):
        return None, doubt
    return False, f"{equation.text}: {_shown(left, right, one, other)}"


def _values(side: Side) -> list[Fraction]:
    return [value(side.expression, each) for each in readings(side.expression)]


def _is_rounded(exact: Fraction, side: Side, written: Fraction) -> bool:
    """Whether the number that `side` is stands for `exact`, rounded to its digits.

    Halves may go either way. A whole number stands for a fraction only when no
    decimal could be written exactly: 100/3 = 33, but not 7/2 = 4.
    """
    if not side.expression.is_number:
        return False
    item = next(side.expression.numbers())
    if item.places == 0 and not item.percent and _terminates(exact):
        return False
    unit = Fraction(item.scale, 10**item.places)
    if item.percent and abs(written) * 2 <= item.value:
        unit /= 100
    return abs(exact - written) * 2 <= unit


def _terminates(number: Fraction) -> bool:
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _doubt(equation: Equation, left: Side, right: Side, one: Fraction, other: Fraction) -> str:
    """Why sides that differ need not be a mistake, or nothing."""
    gap, size = abs(one - other), max(abs(one), abs(other))
    named = left.expression.is_number and not equation.chained and bool(left.label or left.units)
    units = left.units | right.units
    numbers = [*left.expression.numbers(), *right.expression.numbers()]
    minus = left.expression.operator == "-" and left.label and one < 0
    percents = {item.percent for item in numbers}
    summed = any(side.expression.operator in ("+", "-") for side in (left, right))
    rough = any(item.places for item in numbers) and not right.expression.is_number
    doubts = (
        (not equation.exact and gap * 20 <= size, "about equal"),
        (minus, "it may be a range"),
        (named, "the number before the equals sign may be a name"),
        (_is_converted(units, one, other), "units may be converted"),
        (bool(units & _LETTERS), "a letter may be a variable"),
        (len(percents) > 1 and summed, "a percentage in a sum"),
        (rough and gap * 100 <= size, "rounded on the way"),
    )
    return next(iter((*left.doubts, *right.doubts, *(why for holds, why in doubts if holds))), "")


def _is_converted(units: frozenset[str], one: Fraction, other: Fraction) -> bool:
    """Whether the units measure one thing in two ways, count by the dozen, or tell the time."""
    stems = _stems(units)
    counted = any(
        stem in stems and (one == other * factor or other == one * factor)
        for stem, factor in _COUNTED.items()
    )
    measured = any(len(_stems(units & each)) > 1 for each in _MEASURES)
    return counted or measured or bool(units & _CLOCK)


def _stems(units: frozenset[str]) -> set[str]:
    """Units without the plural; a dollar sign is a dollar."""
    irregular = {"$": "dollar", "feet": "foot", "inches": "inch", "pennies": "penny"}
    return {irregular.get(unit, unit.rstrip("s")) for unit in units}


def _shown(left: Side, right: Side, one: Fraction, other: Fraction) -> str:
    """What the sides are that are more than a number."""
    said = [
        f"{side.text} is {_written(number)}"
        for side, number in ((left, one), (right, other))
        if not side.expression.is_number
    ]
    return ", ".join(said) or f"{_written(one)} is not {_written(other)}"


def _written(number: Fraction) -> str:
    """The number in at most `_DIGITS` digits; three decimals when they never end."""
    if not _terminates(number):
        thousandths = int(abs(number) * 1000)
        sign = "-" if number < 0 else ""
        return f"{sign}{_short(str(thousandths // 1000))}.{thousandths % 1000:03}…"
    return _short(canonical_number(number))


def _short(text: str) -> str:
    return text if len(text) <= _DIGITS else f"{text[:_DIGITS]}… ({len(text)} digits)"
