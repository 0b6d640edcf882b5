r"""LaTeX answers: where a solution states them.

What follows a marker counts, else the last `\boxed{}` with those that stand right before
it and are joined to it (`\boxed{1} and \boxed{2}` is one answer of two parts). What a text
says without either is guessed (`guesses`). Linear in the length that is read.
"""

from __future__ import annotations

import re
from typing import Final

from langchain_qstar.answers.boxes import Box, boxes
from langchain_qstar.answers.digits import parse_number
from langchain_qstar.answers.markers import (
    REST,
    Statement,
    closing_sentence,
    final_answer,
    first_sentence,
    is_stated,
)

_JOINED: Final = re.compile(r",|;|\band\b|\bor\b|&")
_APART: Final = 70
"""Most characters between two boxes that belong together."""

_TOUCHING: Final = 10
"""Most characters between two boxes that belong together though nothing joins them."""

_FORMULA: Final = re.compile(
    r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|(?<!\\)\$((?:\\.|[^$\n\\])+)\$", re.DOTALL
)
_OPENED: Final = re.compile(r"\$|\\\[|\\\(|\\begin\b")
_ENVIRONMENT: Final = re.compile(r"\\begin\s*\{([a-z]+\*?)\}.*?\\end\s*\{\1\}", re.DOTALL)
_DOLLARS: Final = re.compile(r"\$\d[\d,.]*(?![^\n$]*\$)")
"""A sum of money."""

_SIGNS: Final = "0123456789-+.(\\$"
"""What begins an answer that is no word."""

_BETWEEN: Final = re.compile(r"[\s,;]*(?:and|or|,|;)?[\s,;]*")
_SENTENCE: Final = re.compile(r"\.(?=\s|$)|\n\s*")
_STATES: Final = re.compile(r".*\b(?:is|are|equals|be)\b", re.DOTALL)
_CONCLUDES: Final = re.compile(r"\W*(?:so|thus|hence|therefore)\b", re.IGNORECASE)
_BOX: Final = re.compile(r"\\(?:f?boxed|fbox)\b")
_PROSE: Final = re.compile(r"(?<![\\a-zA-Z{])[a-zA-Z]{2,}")
_TEXT: Final = re.compile(r"\\(?:text|mathrm|mathbf|textbf|operatorname)\s*\{[^{}]*\}")
_NORMAL: Final = (
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\\(?:left|right|[,;:! ])"), ""),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"[\s$*.]"), ""),
)
_OPENING: Final = " \t:=*_`~\n"
_WORDS: Final = 3
"""Most words of an answer in words that `Answer:` announces; more are reasoning."""

_DENIED: Final = re.compile(r"\W*(?:not|n't)\b", re.IGNORECASE)
_VERB: Final = re.compile(r"\b(?:let|we|first|to|has|have|had|will|was|were)\b", re.IGNORECASE)


def final_latex(text: str) -> str | None:
    """What a whole solution states as its answer, else what its last sentence says."""
    return stated_latex(text) or guess_latex(text)


def stated_latex(text: str) -> str | None:
    r"""The answer a solution states, as LaTeX without delimiters.

    Args:
        text: A whole solution; only its last 20,000 characters are read.

    Returns:
        The answer as it is written, several parts joined by commas; None when
        nothing in the text states one, or two markers different ones.
    """
    return final_answer(text, read_latex, _boxed, _alike)


def guess_latex(text: str) -> str | None:
    """The formula of the last sentence, if it is the only one there.

    Without any, a text that is nothing but a formula, or what `Therefore ... is` says.
    """
    said = closing_sentence(text)
    if _BOX.search(said):
        return None  # with something in it, it would have been the answer
    found = formulas(said)
    if found:
        return found[0] if len(found) == 1 else None
    if not _PROSE.search(said) and "\n" not in text.strip():
        return said.strip() or None
    return claim(said) if _CONCLUDES.match(said) else None


def states_latex(text: str) -> bool:
    """Whether a text states its answer in LaTeX, or that it has none (`markers.is_stated`)."""
    return is_stated(text, read_latex)


def read_latex(statement: Statement) -> str | None:
    """What a statement announces, as LaTeX."""
    answer = (_in_box(statement) or _stated(statement) or "").strip()
    return answer if 0 < len(answer) <= REST else None


def claim(sentence: str) -> str | None:
    """What a sentence says that something is: its last formulas, or its last words."""
    verb = _STATES.match(sentence)
    said = sentence[verb.end() :] if verb else sentence
    words = _words(said)
    if not any(character.isdigit() for character in words) and " " in words:
        return _formula(sentence, last=True) or words
    return _formula(said, last=True) or words or None


def formulas(text: str) -> list[str]:
    """The formulas of a text, those that are joined to one answer as one."""
    found: list[str] = []
    end = -1
    for match in _FORMULA.finditer(text):
        formula = next(filter(None, match.groups())).strip()
        if found and _BETWEEN.fullmatch(text[end : match.start()]):
            found[-1] += f", {formula}"
        else:
            found.append(formula)
        end = match.end()
    return found


def _in_box(statement: Statement) -> str | None:
    """What the first box after a marker holds, if it stands in the line that is read."""
    said = first_sentence(statement.said)
    if not _BOX.search(said):
        return None
    first = next(iter(boxes(statement.rest)), None)
    if first is None:
        return None
    end = statement.rest.find("\n", first.end)
    return _boxed(statement.rest if end < 0 else statement.rest[:end])


def _stated(statement: Statement) -> str | None:
    """A formula, which may have several lines, or what the line says."""
    said, body = statement.said, statement.rest.lstrip(_OPENING).removeprefix("is").lstrip(_OPENING)
    if _OPENED.match(body) and not _DOLLARS.match(body):
        closed = _FORMULA.match(body) or _ENVIRONMENT.match(body)
        return _formula(body, last=False) or body[: closed.end()] if closed else None
    if not statement.sentence:
        return _bare(said, in_words=statement.kind != "hashes")
    answer = None if _DENIED.match(said) else claim(first_sentence(said).strip(_OPENING))
    phrase = statement.kind == "phrase"
    return answer if phrase or answer is None or _is_short(said, answer) else None


def _is_short(said: str, answer: str) -> bool:
    """Whether a sentence after `Answer:` gives an answer, and does not begin to reason."""
    if _STATES.match(said) or answer != _words(first_sentence(said)):
        return True
    return _bare(said, in_words=True) is not None


def _bare(said: str, *, in_words: bool) -> str | None:
    """A line that is nothing but an answer."""
    sentence = first_sentence(said)
    plain = _TEXT.sub("", sentence)
    words = _words(sentence)
    prose = len(_PROSE.findall(_FORMULA.sub("", plain)))
    if (
        not words
        or _VERB.search(plain)
        or prose > (_WORDS if in_words or words[0] in _SIGNS else 0)
    ):
        return None
    return _formula(sentence, last=False) or words


def _words(said: str) -> str:
    return said.strip(_OPENING + ".")


def _boxed(end: str) -> str | None:
    """The contents of the last box and of those joined to it."""
    parts: list[str] = []
    after: Box | None = None
    for box in reversed(boxes(end)):
        if after is not None and not _belongs(end[box.end : after.start]):
            break
        if not parts or parts[-1] != box.content:
            parts.append(box.content)
        after = box
    return ", ".join(reversed(parts)) or None


def _belongs(between: str) -> bool:
    """Whether the text between two boxes joins them to one answer."""
    if len(between) < _TOUCHING:
        return True
    if _SENTENCE.search(between):
        return False
    return len(between) < _APART and _JOINED.search(between) is not None


def _formula(text: str, *, last: bool) -> str | None:
    """The first formula of a text, or its last, with those that are joined to it."""
    found = formulas(text)
    return found[-1 if last else 0] if found else None


def _alike(a: str, b: str) -> bool:
    """Whether two announced answers are the same by their signs, or as numbers.

    Computer algebra is not asked: forms that only it could tell to be the same are different.
    """
    left, right = parse_number(a), parse_number(b)
    for pattern, replacement in _NORMAL:
        a, b = pattern.sub(replacement, a), pattern.sub(replacement, b)
    return a == b or left == right is not None
