"""Computer algebra on foreign text. Runs in the process of `worker`, and nowhere else.

Everything here may run for ever or fill the memory; `worker` sets the limits.
Texts are LaTeX without delimiters. Parsing is math-verify's, by a grammar; nothing
is passed to Python's `eval`.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sympy
from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify
from sympy import MatrixBase
from sympy.core.function import AppliedUndef

_SHOWN: Final = 80
"""Most characters of an equation that a reason quotes."""

_WITHOUT_UNITS: Final = LatexExtractionConfig(
    normalization_config=NormalizationConfig(
        basic_latex=True,
        units=False,
        malformed_operators=True,
        nits=True,
        boxed="all",
        equations=False,
    )
)

_FEW: Final = 40
_MANY: Final = 200
_EXACT: Final = sympy.Rational(1, 10**150)
"""By what part of itself a number that is no fraction may be off after `_MANY` digits."""
_ROUNDED: Final = sympy.Float("1e-6")
"""By what part of itself, or of 1 if it is larger, a decimal may be off."""

_MATCHED: Final = 50
"""Most numbers of a collection that are compared one by one."""

_LARGE: Final = 10**30
"""Integers from here on are shown rounded."""


def warm_up() -> None:
    """Load grammars and tables, so that no request waits for them."""
    logging.disable()
    for left, right in (
        (r"\frac{1}{2}", "0.5"),
        ("x+1", "1+x"),
        ("(1, 2]", "(1, 3]"),
        ("x=1", "1"),
    ):
        same(left, right)


def same(left: str, right: str) -> bool:
    """Whether two answers are the same object."""
    first, second = _parsed(left), _parsed(right)
    if not first or not second:
        return False
    if _rebuilt(first[0]) == _rebuilt(second[0]):
        return True
    equations = (_is_equation(left), _is_equation(right))
    if equations == (False, True):
        first, second = second, first  # an equation names the value: x = 5 is 5
    if (decided := _same_parts(first[0], second[0])) is not None:
        return decided
    # A set may be given as a tuple, an interval as an inequality, in either place.
    either = not any(equations) and type(first[0]) is not type(second[0])
    return _verified(first, second) or (either and _verified(second, first))


def _same_parts(left: Any, right: Any) -> bool | None:
    """Whether two numbers, or two collections of numbers, are the same; None where they are none.

    math-verify rounds both sides to six decimals, after which all small numbers are equal.
    """
    if _is_number(left) and _is_number(right):
        return _same_size(left, right)
    for kind in (sympy.FiniteSet, sympy.Tuple, sympy.MatrixBase):
        if isinstance(left, kind) and isinstance(right, kind):
            ours, theirs = list(left), list(right)
            if len(ours) != len(theirs) or len(ours) > _MATCHED:
                return None  # math-verify knows what else a list may be
            if not all(map(_is_number, (*ours, *theirs))):
                return None
            matched = _matched(ours, theirs) if kind is sympy.FiniteSet else None
            alike = all(map(_same_size, ours, theirs)) if matched is None else matched
            return alike and getattr(left, "shape", None) == getattr(right, "shape", None)
    return None


def _matched(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    """Whether each of some numbers is one of the others, in any order."""
    left = list(theirs)
    for each in ours:
        partner = next((place for place, other in enumerate(left) if _same_size(each, other)), None)
        if partner is None:
            return False
        del left[partner]
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, sympy.Expr) and bool(value.is_number) and value.is_finite is not False


def _same_size(left: Any, right: Any) -> bool:
    """Whether two numbers are the same: exactly, or where one is a decimal to six figures."""
    left, right = left.doit(), right.doit()
    if left.is_Rational and right.is_Rational:
        return bool(left == right)
    rounded = left.has(sympy.Float) or right.has(sympy.Float)
    digits = _FEW if rounded else _MANY
    a, b = left.evalf(digits), right.evalf(digits)
    gap, size = sympy.Abs(a - b), max(sympy.Abs(a), sympy.Abs(b))
    if not gap.is_comparable or not size.is_comparable:
        return bool(left == right)
    if rounded:
        return bool(gap <= _ROUNDED * min(sympy.Integer(1), size))
    if gap <= _EXACT * size:
        return True
    # What cancels has no figures left to compare.
    return bool(size < _EXACT and sympy.simplify(left - right) == 0)


def _rebuilt(value: Any) -> Any:
    """An expression with its sums and products in sympy's order; parsing keeps the writer's."""
    if isinstance(value, sympy.Equality):
        return _rebuilt(value.lhs), _rebuilt(value.rhs)
    if not isinstance(value, sympy.Expr) or not value.args:
        return value
    return value.func(*(_rebuilt(part) for part in value.args))


def _parsed(text: str) -> list[Any]:
    return list(parse(f"${text}$", parsing_timeout=None))


def _is_equation(text: str) -> bool:
    return "=" in text.replace("!=", "").replace("<=", "").replace(">=", "")


def _verified(gold: list[Any], answer: list[Any]) -> bool:
    return bool(verify(gold, answer, timeout_seconds=None))


def judge(chains: str, earlier: str) -> tuple[bool | None, str]:
    """Whether the chains of a step are true; see `symbolic`.

    Args:
        chains: JSON of the step's chains, each a list of sides.
        earlier: JSON of chains of earlier steps.
    """
    known = [each for chain in json.loads(earlier) for each in _equations(chain)]
    verdict: bool | None = None
    reason = "nothing to compare it with"
    for chain in json.loads(chains):
        for equation in _equations(chain):
            held, why = _held(equation, known)
            if held is False:
                return False, why
            if held:
                verdict = True
            elif verdict is None:
                reason = why
            known.append(equation)
    return verdict, "the formulas hold" if verdict else reason


class _Equation(NamedTuple):
    """Two sides as written and as expressions; None for one that is not read."""

    text: str
    left: Any
    right: Any
    written: str
    """The right side as written."""

    @property
    def unknowns(self) -> set[Any]:
        return set() if self.gap is None else self.gap.free_symbols

    @property
    def gap(self) -> Any:
        """Left minus right."""
        return None if self.left is None or self.right is None else self.left - self.right


def _equations(chain: list[str]) -> list[_Equation]:
    sides = [_expression(side) for side in chain]
    return [
        _Equation(_short(f"{a} = {b}"), sides[n], sides[n + 1], b)
        for n, (a, b) in enumerate(itertools.pairwise(chain))
    ]


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


@functools.cache
def _expression(text: str) -> Any:
    """A side as an expression, or None; letters are variables here, never units."""
    parsed = parse(f"${text}$", [_WITHOUT_UNITS], parsing_timeout=None)
    read = [each for each in parsed if isinstance(each, sympy.Expr)]
    known = read and not isinstance(read[0], MatrixBase) and not read[0].has(AppliedUndef)
    return read[0].doit() if known else None


def _held(equation: _Equation, known: Sequence[_Equation]) -> tuple[bool | None, str]:
    """Whether one equation is true: by itself, or after those that are known."""
    if equation.gap is None:
        return None, f"{equation.text}: not read"
    if not equation.unknowns:
        return _constants_held(equation)
    if sympy.simplify(equation.gap) == 0:
        return True, ""
    return _follows(equation, known)


def _constants_held(equation: _Equation) -> tuple[bool | None, str]:
    gap = sympy.Abs(equation.gap.evalf(30))
    if not gap.is_number or not gap.is_comparable:
        return None, f"{equation.text}: not a number"
    decimals = re.fullmatch(r"-?\d*\.(\d+)", equation.written)
    tolerance = sympy.Rational(1, 2 * 10 ** len(decimals[1])) if decimals else sympy.Float(1e-20)
    if gap <= tolerance:
        return True, ""
    if equation.gap.has(sympy.Float) and gap <= sympy.Abs(equation.right) / 100:
        return None, f"{equation.text}: rounded on the way"
    return False, f"{equation.text}: the left side is {_written(equation.left)}"


def _follows(equation: _Equation, known: Sequence[_Equation]) -> tuple[bool | None, str]:
    """Whether an equation in one unknown agrees with the last ones in the same unknown."""
    unknowns = equation.unknowns
    against = ""
    for other in reversed(known):
        if len(unknowns) != 1 or other.unknowns != unknowns or sympy.simplify(other.gap) == 0:
            continue
        (unknown,) = unknowns
        roots = sympy.solve(other.gap, unknown, dict=False)
        left = [sympy.simplify(equation.gap.subs(unknown, root)) for root in roots]
        if any(each == 0 or sympy.Abs(each.evalf(30)) < 1e-9 for each in left):
            return True, ""
        if left and all(each.is_number for each in left):
            against = against or f"{equation.text} does not solve {other.text}"
    if against:
        return False, against
    return None, f"{equation.text}: holds for some values only"


def _written(value: Any) -> str:
    """A value in a few digits."""
    return str(value if value.is_Integer and abs(value) < _LARGE else value.evalf(6))[:40]
