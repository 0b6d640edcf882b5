r"""LaTeX answers: where a solution states them.

The last `\boxed{}` counts, with those that stand right before it and are joined
to it (`\boxed{1} and \boxed{2}` is one answer of two parts); then what follows
the last marker; then the last formula. Linear in the length that is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from langchain_qstar.answers.markers import conclusion, last_marker, until_closed

_REST: Final = 2_000
"""Characters after a marker that are read, and most characters of an answer."""

_BOX: Final = re.compile(r"\\f?boxed\s*(?:\{|(?=[^\s{]))")
_JOINED: Final = re.compile(r",|;|\band\b|\bor\b|&")
_APART: Final = 70
"""Most characters between two boxes that belong together."""

_TOUCHING: Final = 10
"""Most characters between two boxes that belong together though nothing joins them."""

_FORMULA: Final = re.compile(
    r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|(?<!\\)\$((?:\\.|[^$\n\\])+)\$", re.DOTALL
)
_BETWEEN: Final = re.compile(r"[\s,;]*(?:and|or|,|;)?[\s,;]*")
_SENTENCE: Final = re.compile(r"\.(?=\s|$)|\n\s*")
_POLITE: Final = re.compile(r"(?<!\s)\s*I hope\b[^.\n]*\.?\s*$")
_STATES: Final = re.compile(r".*\b(?:is|are|equals|be)\b", re.DOTALL)
_CONCLUDES: Final = re.compile(r"\s*(?:so|thus|hence|therefore)\b", re.IGNORECASE)
_PROSE: Final = re.compile(r"(?<![\\a-zA-Z{])[a-zA-Z]{2,}")
_OPENING: Final = " \t:=*_`~\n"


def final_latex(text: str) -> str | None:
    r"""The answer a solution states, as LaTeX without delimiters.

    Args:
        text: A whole solution; only its last 20,000 characters are read.

    Returns:
        The answer as it is written, several parts joined by commas; None when
        nothing in the text states one.
    """
    end = _POLITE.sub("", conclusion(text))
    answer = (_marked(end) or _unmarked(end) or "").strip()
    return answer if 0 < len(answer) <= _REST else None


def _marked(end: str) -> str | None:
    """The last box, or what a later marker announces."""
    boxes = list(_BOX.finditer(end))[-20:]
    marker = last_marker(end)
    if marker and not (boxes and boxes[-1].start() >= marker.start()):
        stated = _stated(end[marker.end() :][:_REST])
        if stated or not boxes:
            return stated
    return _boxed(end, boxes) if boxes else None


def _unmarked(end: str) -> str | None:
    """The last formula, what a last sentence concludes, or a text that is nothing but LaTeX."""
    if not _PROSE.search(end) and "\n" not in end.strip():
        return end
    sentences = [each for each in _SENTENCE.split(end) if each and each.strip()]
    if sentences and _CONCLUDES.match(sentences[-1]):
        return _claim(sentences[-1])
    return _formulas(end, last=True)


def _boxed(text: str, boxes: Sequence[re.Match[str]]) -> str:
    """The contents of the last box and of those joined to it."""
    parts: list[str] = []
    after: int | None = None
    for match in reversed(boxes):
        opened = match.group().endswith("{")
        content = until_closed(text[match.end() :]) if opened else text[match.end()]
        if after is not None and not _belongs(text[match.end() + len(content) + opened : after]):
            break
        if not parts or parts[-1] != content.strip():
            parts.append(content.strip())
        after = match.start()
    return ", ".join(reversed(parts))


def _belongs(between: str) -> bool:
    """Whether the text between two boxes joins them to one answer."""
    if len(between) < _TOUCHING:
        return True
    if _SENTENCE.search(between):
        return False
    return len(between) < _APART and _JOINED.search(between) is not None


def _stated(rest: str) -> str | None:
    """The formulas right after a marker, or what its sentence says."""
    rest = rest.lstrip(_OPENING).removeprefix("is").lstrip(_OPENING)
    if _FORMULA.match(rest):
        return _formulas(rest, last=False)
    return _claim(next((each for each in _SENTENCE.split(rest) if each.strip()), ""))


def _claim(sentence: str) -> str | None:
    """What a sentence says that something is: its last formulas, or its last words."""
    verb = _STATES.match(sentence)
    said = sentence[verb.end() :] if verb else sentence
    words = said.strip(_OPENING + ".")
    if not any(character.isdigit() for character in words) and " " in words:
        return _formulas(sentence, last=True) or words
    return _formulas(said, last=True) or words or None


def _formulas(text: str, *, last: bool) -> str | None:
    """The first formula of a text, or its last, with those that are joined to it."""
    found = list(_FORMULA.finditer(text))
    if not found:
        return None
    ordered = found[::-1] if last else found
    chosen = [ordered[0]]
    for formula in ordered[1:]:
        first, second = (formula, chosen[-1]) if last else (chosen[-1], formula)
        if not _BETWEEN.fullmatch(text[first.end() : second.start()]):
            break
        chosen.append(formula)
    parts = [next(filter(None, each.groups())).strip() for each in chosen]
    return ", ".join(reversed(parts) if last else parts)
