"""Where a solution states its answer: after the last marker of its end.

Markers are the phrases and signs by which people and models announce a result.
The work is linear in `TAIL`, whatever the length of the text.
"""

from __future__ import annotations

import re
from typing import Final

TAIL: Final = 20_000
"""Characters from the end of a text in which its answer is sought."""

_MARKER: Final = re.compile(
    r"####|\\f?boxed\s*\{|\bfinal answer\b|\banswer\b[*_\s]*(?:is\b|:|=)|^[ \t*_]*A:",
    re.IGNORECASE | re.MULTILINE,
)
_THOUGHT: Final = "</think>"
_TURN: Final = re.compile(r"<\|[a-z_]+\|>")
"""What some chat models write where the next turn would begin."""


def conclusion(text: str) -> str:
    """The end of a text, without what a model thought before it answered."""
    return _TURN.split(text[-TAIL:].rpartition(_THOUGHT)[2], maxsplit=1)[0]


def last_marker(end: str) -> re.Match[str] | None:
    """The last marker in a conclusion, or None."""
    marker = None
    for marker in _MARKER.finditer(end):  # noqa: B007 - the last one is wanted
        pass
    return marker


def announced(text: str) -> str | None:
    r"""What stands after the last marker, to the end of the text or of its `\boxed{`.

    Returns:
        None when nothing announces an answer.
    """
    end = conclusion(text)
    marker = last_marker(end)
    if marker is None:
        return None
    rest = end[marker.end() :]
    return until_closed(rest) if marker.group().startswith("\\") else rest


def until_closed(text: str) -> str:
    """Text up to the brace that closes the one before it; all of it if none does."""
    depth = 1
    for place, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[:place]
    return text
