r"""What a question asks in the end, and whether a sub-question asks just that.

The official code takes whatever follows the last period, which is `$` or `\]`
for every fifth problem of MATH, so that almost any sub-question ends the
solution there. Here the part is a whole sentence.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Final

ANNOUNCED: Final = "now we can answer"
"""How a model says that its sub-question is the last one."""

_LABEL: Final = re.compile(r"^(?:(?:the )?question|q)\s*:\s*", re.IGNORECASE)
_NUMBERED: Final = re.compile(
    r"^[\s*_#]*(?:(?:the )?(?:sub-?)?question|q)(?: ?\d+)?[\s*_]*:[\s*_]*", re.IGNORECASE
)
_LABEL_LEFT: Final = re.compile(r"\b(?:(?:the )?question|q)\s*:\s*$", re.IGNORECASE)
_BOUNDARY: Final = re.compile(
    r"""(?:(?<=[.?!])|(?<=[.?!][$)"'”])|(?<=[.?!]\\[\])]))  # a formula may end in the period
        (?<!\b[A-Z]\.)(?<!\b(?:Mr|Ms|Dr|St|No|vs|Jr|Sr)\.)(?<!\bMrs\.)
        \s+(?=["'“(]?[A-Z\d$\\])""",
    re.VERBOSE,
)
_WORD: Final = re.compile(r"[^\W\d_]+")
_FEWEST_WORDS: Final = 3
"""A sentence of fewer words is no question by itself (`How many?`, a formula's tail)."""

_MANNER: Final = re.compile(
    r"(?:express|give|write|enter|state|report|leave|round|simplify)\b.*\b(?:answers?|nearest)\b",
    re.IGNORECASE | re.DOTALL,
)
"""A sentence that only says how to write the answer."""

_ENDS: Final = " \t\n.?!\"'“”"


def problem_part(question: str) -> str:
    """The sentence of a question that says what is wanted: its last, of three words or more.

    Sentences after it that say how the answer is to be written do not count.

    >>> problem_part("A pen costs $3.50. How much do 2 pens cost?")
    'How much do 2 pens cost?'
    """
    sentences = _sentences(question)
    while len(sentences) > 1 and _MANNER.match(sentences[-1]):
        sentences.pop()
    return _LABEL.sub("", sentences[-1])


def context_of(question: str) -> str:
    """The conditions of a question: what stands before its problem part; empty if nothing does.

    >>> context_of("A pen costs $3.50. How much do 2 pens cost?")
    'A pen costs $3.50.'
    """
    before = question[: question.rfind(problem_part(question))]
    return _LABEL_LEFT.sub("", before).strip()


def is_last_subquestion(question: str, subquestion: str) -> bool:
    """Whether a sub-question asks what `question` asks: its answer is the end.

    It says so (`Now we can answer`), or contains the problem part up to an end or
    a comma: "What is x?" is not asked by "What is x + y?".

    Source: the official code; the sentence is ours.
    """
    asked = _plain(subquestion)
    if ANNOUNCED in asked:
        return True
    wanted = _plain(problem_part(question))
    if len(_WORD.findall(wanted)) < _FEWEST_WORDS:
        return False
    return re.search(rf"(?<!\w){re.escape(wanted)}(?=\s*(?:$|[,;:.?!](?!\d)))", asked) is not None


def normalised(text: str) -> str:
    r"""A question by its words alone, so that the same one asked again is the same text.

    Its label (`Q:`, `Question 2:`), case, white space and the marks at its ends do not count.

    >>> normalised("Question 2:  How many pens are\nthere?")
    'how many pens are there'
    """
    text = unicodedata.normalize("NFKC", text)
    return unlabelled(text).strip(_ENDS).casefold()


def unlabelled(text: str) -> str:
    """A question on one line, without its label.

    >>> unlabelled("Q: How many pens are there? ")
    'How many pens are there?'
    """
    return " ".join(_NUMBERED.sub("", text).split())


def _sentences(text: str) -> list[str]:
    """The sentences of a text; one of too few words belongs to the one before it."""
    text = text.strip()
    cuts = [0, *(each.end() for each in _BOUNDARY.finditer(text)), len(text)]
    sentences = [""]
    for start, end in pairwise(cuts):
        piece = text[start:end]
        if len(_WORD.findall(piece)) < _FEWEST_WORDS:
            sentences[-1] += piece
        else:
            sentences.append(piece)
    return [each.strip() for each in sentences if each.strip()] or [""]


def _plain(text: str) -> str:
    return " ".join(text.split()).strip(_ENDS).lower()
