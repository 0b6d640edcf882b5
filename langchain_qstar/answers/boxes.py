r"""The `\boxed{}` of a text and what they hold.

A box in a box is one box, and an empty one is none: it is a form that was not filled in.
Only the last boxes are looked at, each for a bounded length, so that a text of
nothing but boxes costs no more than another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LENGTH: Final = 2_000
"""Most characters in a box."""

_LAST: Final = 20
"""Boxes that are looked at, from the end of the text."""

_BOX: Final = re.compile(r"\\(?:f?boxed|fbox)[ \t]*(?:\{|(?=[^\s{]))")
_BRACE: Final = re.compile(r"[{}]")
_BARE: Final = re.compile(r"[-+]?\d[\d.,]*(?<=\d)|.")
_EMPTY: Final = re.compile(r"(?:\\(?:text|mathrm|mathbf|quad|[,;:! ])|[\s{}~._?…])*")


@dataclass(frozen=True, slots=True)
class Box:
    """A box with something in it: where it stands in the text, and its contents."""

    start: int
    end: int
    content: str


def boxes(text: str) -> list[Box]:
    r"""The last boxes of a text that hold something, in order.

    One that is never closed holds the rest of its line, unless that opens something more.

    >>> [box.content for box in boxes(r"\boxed{} or \boxed{\boxed{5}}")]
    ['5']
    """
    found: list[Box] = []
    covered = 0
    for match in list(_BOX.finditer(text))[-_LAST:]:
        if match.start() < covered:
            continue
        content, end = _content(text, match)
        covered = end
        content = _unwrapped(content)
        if not _EMPTY.fullmatch(content):
            found.append(Box(match.start(), end, content))
    return found


def last_box(text: str) -> str | None:
    """What the last box that holds something holds, or None."""
    found = boxes(text)
    return found[-1].content if found else None


def until_closed(text: str) -> str:
    """Text up to the brace that closes the one before it; all of it if none does."""
    depth = 1
    for brace in _BRACE.finditer(text):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return text[: brace.start()]
    return text


def _content(text: str, match: re.Match[str]) -> tuple[str, int]:
    """What a box holds, and where it ends."""
    start = match.end()
    if not match.group().endswith("{"):
        bare = _BARE.match(text, start)
        return (bare.group(), bare.end()) if bare else ("", start)
    rest = text[start : start + LENGTH]
    content = until_closed(rest)
    if len(content) < len(rest):
        return content, start + len(content) + 1
    line = rest.partition("\n")[0]
    opens = r"\begin" in line or len(rest) == LENGTH
    return "" if opens else line, start + len(line)


def _unwrapped(content: str) -> str:
    """The contents of the innermost of boxes that hold nothing but each other."""
    content = content.strip()
    while (match := _BOX.match(content)) and match.group().endswith("{"):
        inner = until_closed(content[match.end() :])
        if match.end() + len(inner) + 1 < len(content):
            break
        content = inner.strip()
    return content
