r"""Answers that are words: yes or no, and the letter of a choice.

`True` is yes and `False` is no. Markup and punctuation do not matter. A text
that says both, or neither, is no answer.
"""

from __future__ import annotations

import re
from typing import Final

from langchain_qstar.answers.boxes import last_box
from langchain_qstar.answers.markers import (
    Statement,
    closing_sentence,
    final_answer,
    is_stated,
)

_REST: Final = 300
"""Characters after an answer's marker that are read."""

_MARKUP: Final = re.compile(
    r"""\\(?:f?boxed|text|textbf|mathrm|mathbf)\b|\b(?:the\ )?(?:final\ )?answer\b
        |[*_`~"'$\\{}\#“”‘’]""",
    re.IGNORECASE | re.VERBOSE,
)
_YES_NO: Final = re.compile(
    r"""[\s:=\-–—(]*(?:is\b[\s:]*)?(?:(yes|true)|(no|false))\b
        (?=\s*(?:$|[^\w\s]|\n                                  # not a determiner: "no one"
          |(?:and|or|but|because|since|as|for|if|not|it|they|he|she|you|we|I|there|this|that|the)\b))""",
    re.IGNORECASE | re.VERBOSE,
)
_OTHER: Final = re.compile(
    r"[\s,;/]*\b(?:and|or|but)?[\s,;/]+(?:also )?(yes|no|true|false)\b", re.IGNORECASE
)
_CONCLUDES: Final = re.compile(
    r"(?:^|[.!?\n])[ \t]*(?:so|thus|hence|therefore|in conclusion)\b[,:]?\s+(?:the answer is )?"
    r"(?=(?:yes|no|true|false)\b)",
    re.IGNORECASE,
)
_CHOICE: Final = re.compile(
    r"[\s:=\-–—]*(?:is\s+)?(?P<named>(?:option|choice)\s+)?(?:\(\s*([A-Za-z])\s*\)|\[\s*([A-Za-z])\s*\]|([A-Z])(?![\w'’]))",
    re.IGNORECASE,
)
_BRACKETED: Final = re.compile(r"(?<!\w)\(\s*([A-Za-z])\s*\)(?!\w)")
_LETTER: Final = re.compile(r"\W*[A-Za-z]\W*")
_ARTICLE: Final = re.compile(r"\s+[a-z]")
"""What follows a capital letter that is a word: `A boat`."""

_MORE_CHOICES: Final = re.compile(r"\s*(?:,|/|\band\b|\bor\b)\s*\(?[A-Z]\)?(?!\w)")


def parse_yes_no(text: str) -> str | None:
    """The word a bare answer begins with, as `yes` or `no`; None when there is none.

    >>> parse_yes_no("**No**, because it is cold."), parse_yes_no("Norway")
    ('no', None)
    """
    plain = _MARKUP.sub(" ", text[:_REST])
    match = _YES_NO.match(plain)
    if match is None:
        return None
    answer = "yes" if match[1] else "no"
    other = _OTHER.match(plain, match.end())
    return None if other and _word(other[1]) != answer else answer


def final_yes_no(text: str) -> str | None:
    """The answer a solution states, `yes` or `no`.

    What a marker announces counts, or the last box; where there is neither, the text's first
    word, or the word after `So` or `Therefore` in its last sentence that has one.

    Args:
        text: A whole solution; only its last 20,000 characters are read.

    Returns:
        None when it states neither, or both.
    """
    return final_answer(text, read_yes_no, _concluded)


def guess_yes_no(text: str) -> str | None:
    """The word that the last sentence begins with, `yes` or `no`."""
    return parse_yes_no(closing_sentence(text).strip())


def states_yes_no(text: str) -> bool:
    """Whether a text states yes or no, or that it has no answer (`markers.is_stated`)."""
    return is_stated(text, read_yes_no)


def read_yes_no(statement: Statement) -> str | None:
    """The answer that a statement announces."""
    return parse_yes_no(statement.said.strip())


def same_yes_no(a: str, b: str) -> bool:
    """Whether two bare answers say the same; False when either says nothing."""
    answer = _stated(a)
    return answer is not None and answer == _stated(b)


def parse_choice(text: str) -> str | None:
    r"""The letter of a bare choice such as `B`, `(b)`, `\text{(B)}` or `B) 5 apples`.

    Returns:
        The upper-case letter; None when there is none or more than one.
    """
    plain = _MARKUP.sub(" ", text[:_REST])
    match = _CHOICE.match(plain)
    if match is None:
        return None
    letter = match[2] or match[3] or match[4]
    clear = match["named"] or plain.strip() == letter
    if match[4] and not clear and (letter.islower() or _ARTICLE.match(plain, match.end())):
        return None
    return None if _MORE_CHOICES.match(plain, match.end()) else letter.upper()


def final_choice(text: str) -> str | None:
    """The letter that a marker of a solution announces, or its last box; else None."""
    return final_answer(text, read_choice, _boxed_choice)


def guess_choice(text: str) -> str | None:
    """The letter that is the whole last sentence, or the only one in brackets there."""
    said = closing_sentence(text)
    return parse_choice(said) if _LETTER.fullmatch(said) else bracketed_choice(said)


def states_choice(text: str) -> bool:
    """Whether a text states its choice, or that it has none (`markers.is_stated`)."""
    return is_stated(text, read_choice)


def read_choice(statement: Statement) -> str | None:
    """The letter that a statement announces: at its beginning, or the only one in brackets."""
    return parse_choice(statement.said) or bracketed_choice(statement.said)


def bracketed_choice(text: str) -> str | None:
    """The only letter in brackets of a sentence, such as `it must be (B)`."""
    found = {each.upper() for each in _BRACKETED.findall(text[:_REST])}
    return found.pop() if len(found) == 1 else None


def same_choice(a: str, b: str) -> bool:
    """Whether two bare choices are the same letter; False when either is none."""
    letter = parse_choice(a)
    return letter is not None and letter == parse_choice(b)


def _concluded(end: str) -> str | None:
    """What the last box says, else the first word of a text, or what it concludes."""
    box = last_box(end)
    if box is not None:
        return parse_yes_no(box)
    first = parse_yes_no(end.strip())
    concluded = [parse_yes_no(end[each.end() :]) for each in _CONCLUDES.finditer(end)]
    last = concluded[-1] if concluded else first
    return last if first in (None, last) else None


def _boxed_choice(end: str) -> str | None:
    box = last_box(end)
    return None if box is None else parse_choice(box)


def _stated(text: str) -> str | None:
    """The answer of a bare form, which may carry its marker: `Answer: yes`."""
    return parse_yes_no(text.strip()) or final_yes_no(text)


def _word(word: str) -> str:
    return "yes" if word.lower() in ("yes", "true") else "no"
