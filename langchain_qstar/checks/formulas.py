r"""The formulas in a step that say something is equal, as text.

A chain is what stands between equals signs, in order: `2x = 10` is two sides. It
comes from between LaTeX delimiters, from an environment such as `align`, or from
plain text, where only runs with a variable count; equations between numbers are
`equations`' business. Nothing is evaluated here, and the work is linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

LENGTH: Final = 500
"""Most characters of a side."""

CHAINS: Final = 20
"""Most chains of a text; the last ones count."""

_ENVIRONMENT: Final = re.compile(
    r"\\begin\{(?:align|aligned|equation|gather|split|eqnarray)\*?\}(.*?)\\end\{", re.DOTALL
)
_DELIMITED: Final = re.compile(
    r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|(?<![\\\d])\$((?:\\.|[^$\n\\])+)\$", re.DOTALL
)
_CLAUSE: Final = re.compile(r"[;:!?\n]|,(?!\d)|\.(?!\d)|\b(?:and|or|so|then|thus|gives?|is)\b")
_RUN: Final = re.compile(
    r"(?:(?<![A-Za-z0-9_.])[A-Za-z](?![A-Za-z'])|\d+(?:\.\d+)?[A-Za-z](?![A-Za-z'])"
    r"|\d[\d,]*(?:\.\d+)?|[-+*/^()=\s])+"
)
_VARIABLE: Final = re.compile(r"[A-Za-z]")
_OTHER_RELATION: Final = re.compile(
    r"\\(?:approx|neq?|leq?|geq?|lt|gt|equiv|in|to|sim|text|mbox)\b|[<>≈≠≤≥%$&]|!="
)
_SCIENTIFIC: Final = re.compile(r"\d[eE][-+]?\d")
"""`1e3` would be read as Euler's number times 3; what is meant is not certain."""
_WRAPPING: Final = re.compile(
    r"\\(?:left|right|displaystyle|boxed)(?![a-zA-Z])|\\[,!;:]|\\q?quad\b"
)


def find_chains(text: str) -> list[list[str]]:
    """All chains of equal sides in a text, in order."""
    chains: list[list[str]] = []
    rest = text
    for pattern in (_ENVIRONMENT, _DELIMITED):
        for match in pattern.finditer(rest):
            body = next(filter(None, match.groups()), "")
            chains += _of_rows(body)
        rest = pattern.sub(" ; ", rest)
    for clause in _CLAUSE.split(rest):
        chains += _of_clause(clause)
    return chains[-CHAINS:]


def _of_rows(body: str) -> Iterator[list[str]]:
    """The chains of a formula; a row that begins with an equals sign goes on."""
    chain: list[str] = []
    for row in re.split(r"\\\\|,\s*(?:\\q?quad\b)?(?=[^=]*=)", body):
        sides = [side.strip() for side in row.replace("&", "").split("=")]
        if sides and not sides[0] and chain:
            chain += sides[1:]
            continue
        yield from _sound(chain)
        chain = sides
    yield from _sound(chain)


def _of_clause(clause: str) -> Iterator[list[str]]:
    """The chains of plain text that hold a variable."""
    if "=" not in clause:
        return
    for match in _RUN.finditer(clause):
        run = match.group()
        sides = [side.strip() for side in run.split("=")]
        if len(sides) > 1 and _VARIABLE.search(run) and not _is_cut(clause, match):
            yield from _sound(sides)


def _is_cut(clause: str, run: re.Match[str]) -> bool:
    """Whether the run is only a part of a formula."""
    first, last = run.group().strip()[:1], run.group().strip()[-1:]
    return first in "+*/^)=" or last in "-+*/^(=" or "_" in clause


def _sound(chain: list[str]) -> Iterator[list[str]]:
    """The chain, if it has two sides or more and all of them can be read."""
    sides = [_WRAPPING.sub(" ", side).strip(" .;") for side in chain]
    long = any(len(side) > LENGTH for side in sides)
    unread = any(_OTHER_RELATION.search(side) or _SCIENTIFIC.search(side) for side in sides)
    if len(sides) > 1 and all(sides) and not long and not unread:
        yield sides
