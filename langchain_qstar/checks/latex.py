r"""LaTeX answers: when two are the same.

Text decides where it can: equal writings, numbers, words, letters of a choice,
numbers with a base. The rest goes to computer algebra, in its own process with a
limit of time. Value decides; units, currency, percent and degree signs, markup and
thousands separators do not, the order of a list does not; the order of a tuple,
the kind of brackets and the base of a number do.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from typing import Final

from langchain_qstar.answers import parse_number, same_number
from langchain_qstar.answers.signs import latex_signs
from langchain_qstar.checks.worker import NoResult, Worker
from langchain_qstar.errors import MissingExtraError

LENGTH: Final = 2_000
"""Most characters of an answer that is compared."""

NESTED: Final = 40
"""Most brackets inside each other."""

ALGEBRA: Final = Worker("langchain_qstar.checks.algebra")
"""The process that all comparisons and symbolic checks share."""

_COMMANDS: Final = "(?:left|right|[dt]?frac|sqrt|pi|infty|pm|cdot|times|text)(?![a-z])"


def _repeating(match: re.Match[str]) -> str:
    r"""The fraction that a repeating decimal is: `0.1\overline{6}` is 1/6."""
    whole, start, period = match.groups()
    ninths = int("9" * len(period) + "0" * len(start))
    top = int(whole + start + period) - int((whole + start) or "0")
    return rf"\frac{{{top}}}{{{ninths}}}"


_CLEAN: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rf"(?<!\\)\\\\(?={_COMMANDS})", r"\\"),  # a backslash escaped twice
        (r"\*\*|\^\s*(?=\()", "^"),  # powers as programs write them: 2**(1/4)
        (r"\^\(([^()]*)\)", r"^{\1}"),
        (r"\\(?:left|right|displaystyle|bigl?|bigr?)(?![a-zA-Z])\.?", ""),
        (r"\\[dt]frac", r"\\frac"),
        (r"\\(?:mathbf|mathrm|mathit|vec|hat)\s*\{([a-zA-Z])\}", r"\1"),
        (r"\\varnothing(?![a-zA-Z])", r"\\emptyset"),
        (r"(?<!\d)(\d*)\.(\d*)\\overline\s*\{(\d{1,20})\}", _repeating),
        (r"\\(?:mbox|textbf|textit|mathrm|mathbf|mathit|operatorname)(?=\s*\{)", r"\\text"),
        (r"\\f?boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}", r"\1"),
        (r"\{,\}|,\\!\s*", ","),  # separators of thousands
        (r"(?<!\\)\\[!,;: ]|~|\\q?quad(?![a-zA-Z])", " "),
        (r"\s+", " "),  # patterns with several `\s*` take the cube of a run of them
        # percent and currency, which do not matter, nor degrees outside of functions
        (r"\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°", ""),
        (r"\\%|(?<=\d)\s*%|\s*(?:\\text\s*\{)?\s*\b(?:percent|pct|degrees?)\b\s*\}?$", ""),
        (r"\\\$|[€£¥₹]", ""),
        (r"^(-?)\s*\$\s*(?=[\d.,]+$)", r"\1"),
        (r"(?<=_)\{(\w+)\}", r"\1"),
    )
)
_DEGREES: Final = re.compile(
    r"(\d+(?:\.\d+)?|\.\d+)\s*(?:\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°|\\degree(?![a-zA-Z]))"
)
_ANGLES: Final = re.compile(r"(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
_DOTS: Final = re.compile(r"\\(?:[lc]?dots[cbmio]?)(?![a-zA-Z])|\.{3}|…|⋯")
_DELIMITERS: Final = re.compile(r"^\s*(?:\$+|\\\(|\\\[)|(?:\$+|\\\)|\\\])\s*$")
_TEXT: Final = re.compile(r"\\text\s*\{([^{}]*)\}")
_NUMBER: Final = re.compile(
    r"""[-+]?[\d.,/ ]*(?:\d|\\frac)
        (?:[\d\s{}.,/]|\\frac|\\times|\\cdot|\^|e[-+]?\d|-)*   # one number, in any form
        (?:\s+[A-Za-z]{2,}\.?)*                              # and its units""",
    re.VERBOSE,
)
_BASED: Final = re.compile(r"([0-9A-Z]+)_(\d+)")
_WORDS: Final = re.compile(r"[A-Za-z][A-Za-z' -]*[A-Za-z]")
_CHOICE: Final = re.compile(r"\(?([A-Z])\)?")
_OPTION: Final = re.compile(r"\(([A-Z])\)(?=\s)")
_CLOCK: Final = re.compile(r"\d{1,2}:\d\d")


def same_latex(a: str, b: str) -> bool:
    """Whether two answers are the same; the order does not matter.

    What takes computer algebra more than its time is not the same.

    Raises:
        MissingExtraError: The extra `checks` is needed and not installed.
    """
    if max(len(a), len(b)) > LENGTH or min(len(a.strip()), len(b.strip())) == 0:
        return False
    left, right = cleaned(a), cleaned(b)
    if _DOTS.search(left) or _DOTS.search(right):
        return _same_series(left, right)
    by_text = _same_text(left, right)
    if by_text is not None:
        return by_text
    if max(map(depth, (left, right))) > NESTED:
        return False
    require_algebra()
    try:
        return _same_value(*sorted((left, right)))
    except NoResult:
        return False


def _same_series(left: str, right: str) -> bool:
    r"""Whether two answers that go on (`1, 2, \dots, 10`) do so in the same places."""
    ours, theirs = (
        [part.strip() for part in re.split("[,;+]", _DOTS.sub("…", each))] for each in (left, right)
    )
    if "".join(ours) == "".join(theirs):
        return True
    if len(ours) != len(theirs) or "…" not in ours:
        return False
    return all(
        one == other or ("…" not in one + other and same_latex(one, other))
        for one, other in zip(ours, theirs, strict=True)
    )


def cleaned(text: str) -> str:
    """The answer without delimiters, markup, units of percent and degree, and spacing."""
    text = latex_signs(" ".join(text.split()).rstrip(".").rstrip())
    for _ in range(2):
        text = _DELIMITERS.sub("", text)
    if _ANGLES.search(text):  # there a degree is a number
        text = _DEGREES.sub(r"{\\frac{\1\\pi}{180}}", text)
    for pattern, replacement in _CLEAN:
        text = pattern.sub(replacement, text)
    return " ".join(_DELIMITERS.sub("", text).split()).rstrip(".")


def _same_text(left: str, right: str) -> bool | None:
    """What the texts alone say, or None."""
    plain = [_TEXT.sub(r"\1", each).strip() for each in (left, right)]
    if plain[0].replace(" ", "") == plain[1].replace(" ", ""):
        return True
    if any(map(_BASED.fullmatch, (left, right))) or all(map(_CLOCK.fullmatch, plain)):
        return False  # not the same text
    if all(map(_NUMBER.fullmatch, plain)) and None not in map(parse_number, plain):
        return same_number(*plain)
    choices = [_CHOICE.fullmatch(each) or _OPTION.match(each) for each in plain]
    if all(choices) and any(map(_CHOICE.fullmatch, plain)):
        return len({each[1] for each in choices if each}) == 1
    if all(map(_WORDS.fullmatch, plain)):
        return plain[0].casefold() == plain[1].casefold()
    return None


def depth(text: str) -> int:
    """The most brackets inside each other, of any kind."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


@lru_cache(4096)
def _same_value(left: str, right: str) -> bool:
    return bool(ALGEBRA.ask("same", left, right))


def require_algebra() -> None:
    """Raise `MissingExtraError` when the extra `checks` is not installed."""
    for package, module in (("math-verify", "math_verify"), ("sympy", "sympy")):
        if find_spec(module) is None:
            raise MissingExtraError(package, "checks")
