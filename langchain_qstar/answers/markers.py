r"""Where a solution states its answer: what stands after the markers of its end.

The one place that decides it, for the answer of a text and for whether it is complete.
Markers are the phrases and signs by which people and models announce a result:
`the answer is`, `Answer:`, `A:` and `####` with the answer in the same line or the next that
says something, and a heading that says `Final answer` and no more. Where none of them states
an answer, the last `\boxed{}` does (`boxes`). A Markdown heading such as
`#### Step 1: Count the boxes` is no marker: it is for the readers of the kinds of answers
to say whether what follows a marker is one.

The work is linear in `TAIL`, whatever the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from langchain_qstar.answers.boxes import boxes

TAIL: Final = 20_000
"""Characters from the end of a text in which its answer is sought."""

REST: Final = 2_000
"""Characters after a marker that are read."""

_MARKERS: Final = 50
"""Markers of a text that are read, from its end."""

_SIGNS: Final = r"[\"'*_` \t]{0,8}"
_MARKER: Final = re.compile(
    rf"""(?P<heading>^[ \t\#*_>]{{0,20}}(?:the[ ])?(?:(?:final|correct)[ ])?answer
        [ \t*_.\#]{{0,20}}$)
    |(?P<bare>^[ \t\#*_>]{{0,20}}final[ ]answer\b{_SIGNS}[-\u2013\u2014]?(?=[ \t]*[-$\\\d]))
    |(?P<hashes>(?<![\#\w])\#\#\#\#(?!\#))
    |(?P<phrase>(?<![^\W_])answer\b(?:[ ]to[ ](?:the|this|that|your)[ ](?:question|problem))?
        {_SIGNS}(?:,[ ](?:then|therefore|thus)\b,?[ ])?
        \b(?:is|(?:would|will|must|should)[ ]be)\b(?:[ ]therefore\b|[ ]thus\b|[ ]then\b)?)
    |(?P<label>(?<![^\W_])(?:final[ ])?answer(?![^\W_]){_SIGNS}(?:\([^()\n]{{1,40}}\){_SIGNS})?[:=]
        |^[ \t*_>]{{0,20}}A[*_]{{0,2}}:)""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_A_LINE: Final = re.compile(r"[ \t*_>]{0,20}[Aa][*_]{0,2}:")
_FILLER: Final = re.compile(
    r"[\s*_:\#\"'`.,-]*(?:(?:so|thus|hence|therefore),?\s+)?(?:(?:the|my|our)\s+)?(?:(?:final|correct)\s*)?[*_]*",
    re.IGNORECASE,
)
"""What stands between two markers that are one, as in `Final answer: The final answer is`."""

_SENTENCE: Final = re.compile(
    r"""(?:^|[.!?:;)}\]$][ \t*_]+|[\u3002\uff0e])[^\w\n]{0,20}
        (?:(?:so|thus|hence|therefore|then|and|now)[^\w\n]{1,4}){0,2}
        the[ ](?:(?:final|correct|right)[ ])?$""",
    re.IGNORECASE | re.VERBOSE,
)
"""The beginning of a sentence that goes on with `answer is`."""

_HYPOTHETICAL: Final = re.compile(
    r"\b(?:if|whether|unless|until|suppose|assum\w{1,4}|(?:check|verify|ensure|sure)(?:[ ]that)?)"
    r"[ ]"
    r"(?:(?:the|your|this|an?)[ ])?(?:(?:final|correct)[ ])?$",
    re.IGNORECASE,
)
_OF_LINE: Final = re.compile(
    r"^[^\w\n]*(?:(?:so|thus|hence|therefore)[^\w\n]{1,4})?(?:the[ ])?(?:(?:final|correct)[ ])?$",
    re.IGNORECASE,
)
_SAYS: Final = re.compile(r"\w")
_FORM: Final = re.compile(
    r"[ \t>]*(?:```\w*|\\(?:begin|end)\s*\{[a-z]+\*?\})[ \t]*$", re.IGNORECASE
)
_LATER: Final = re.compile(
    r"[\s*_:]*(?:(?:as follows|given by|below|shown below|the following|this)\b)?[\s*_:.]*$",
    re.IGNORECASE,
)
_COLON: Final = re.compile(r":[\s*_]*$")
_ENUMERATED: Final = re.compile(
    r"[\s*_>]*(?:step\b|(?:[-*+][ ]+)?\d{1,3}[.):][*_]*\s+[^\W\d])", re.IGNORECASE
)
# A run of signs is tried from its beginning only: from each place in it, it would be squared.
_NUMBERED: Final = re.compile(
    r"(?<![\s*_>#-])[\s*_>#-]*(?:step[ ])?\d{1,3}[.):][*_]*\s+(?=\D)", re.IGNORECASE
)
_HEADING: Final = re.compile(r"[ \t>]*\#{1,6}(?!\#)")
_CLOSING: Final = 300
"""Most characters of a last sentence that says what a solution comes to."""

_OPEN: Final = re.compile(r"[?:][\s*_]*$")
_PAIRS: Final = (("\\[", "\\]"), ("\\(", "\\)"), ("\\begin", "\\end"))
"""What opens a formula that may go on in the next line, and what ends it."""

_ENDED: Final = re.compile(r"[.!?][\"'*_)\]$\s]*$")
_BREAK: Final = re.compile(
    r"(?<!\d)[.!?][*_\"')]*\s+(?=[A-Z\\$(\d])|(?<=\d)[.!?][*_\"')]*\s+(?=[A-Z\\$])|[\u3002\uff0e]"
)
"""Where a sentence ends within a line."""

_POLITE: Final = re.compile(r"(?:^|(?<=[.!?$\s]))I hope\b[^.\n]*\.?")
_OPENED: Final = "<think>"
_THOUGHT: Final = "</think>"
_TURN: Final = re.compile(r"<\|[a-z_]+\|>")
"""What some chat models write where the next turn would begin."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What stands after one marker.

    Attributes:
        kind: `phrase`, `label`, `heading`, `hashes` or `bare` (`Final answer` before a number).
        said: The line that states the answer, without the marker: what follows it, or the
            next line that says something. Empty while there is none.
        rest: All that follows the marker, to the next one; for formulas of several lines.
        sentence: Whether a sentence may state the answer, as after `the answer is`. Where it
            may not, only a bare answer counts: what follows `Answer:` may be the
            reasoning.
        announced: Whether `the answer is` began a sentence that is finished and says
            something: that ends a solution, whatever it says.
    """

    kind: str
    said: str
    rest: str
    sentence: bool
    announced: bool


Reader = Callable[[Statement], str | None]
"""The answer that a statement makes, in canonical form, or None when it makes none."""


def conclusion(text: str) -> str:
    """The end of a text, without what a model thought before it answered."""
    closed = text.rfind(_THOUGHT)
    start = 0 if closed < 0 else closed + len(_THOUGHT)
    opened = text.find(_OPENED, start)
    end = text[max(start, len(text) - TAIL) :] if opened < 0 else text[start:opened][-TAIL:]
    return _TURN.split(end, maxsplit=1)[0]


def statements(end: str) -> list[Statement]:
    """What a conclusion says after its markers, in order."""
    found = [match for match in _markers(end) if not _only_supposed(end, match)][-_MARKERS:]
    stated = []
    for match, following in zip_longest(found, found[1:]):
        until = len(end) if following is None else following.start()
        rest = end[match.end() : min(until, match.end() + REST)]
        if following is None or not _FILLER.fullmatch(rest):
            stated.append(_statement(end, match, rest, whole=until == len(end)))
    return stated


def final_answer(
    text: str,
    read: Reader,
    boxed: Callable[[str], str | None],
    same: Callable[[str, str], bool] = str.__eq__,
) -> str | None:
    """The answer that a solution states.

    Args:
        text: A whole solution; only its last 20,000 characters are read.
        read: Reads what one marker announces.
        boxed: Reads the last box of a conclusion; asked where no marker announces anything.
        same: Whether two answers are the same one.

    Returns:
        None when nothing states an answer, and when two markers announce different ones.
    """
    end = conclusion(text)
    answers = [answer for each in statements(end) if (answer := read(each)) is not None]
    if not answers:
        return boxed(end)
    return answers[-1] if all(same(answers[-1], each) for each in answers[:-1]) else None


def is_stated(text: str, read: Reader) -> bool:
    """Whether a text states its answer, or that it has none, so that a solution ends here.

    A marker with nothing after it yet, or with reasoning, states nothing; more lines
    after one that states an answer change nothing.
    """
    end = conclusion(text)
    return (
        any(read(each) is not None or each.announced for each in statements(end))
        or boxes(end) != []
    )


def sentences(line: str) -> list[str]:
    """The sentences of a line that say something, without `I hope it is correct`."""
    return [each for each in _BREAK.split(_POLITE.sub("", line)) if _SAYS.search(each)]


def first_sentence(said: str) -> str:
    """What a line says, up to the end of its first sentence."""
    return next(iter(sentences(said)), "")


def closing_sentence(text: str) -> str:
    """The last sentence of a text, in which an answer without a marker is looked for.

    Empty when it is long, and when it ends like a question or a heading.
    """
    for line in reversed(conclusion(text).split("\n")):
        if not _FORM.match(line) and (found := sentences(line)):
            said = _NUMBERED.sub("", found[-1])
            return "" if len(said) > _CLOSING or _OPEN.search(said) else said
    return ""


def _markers(end: str) -> Iterator[re.Match[str]]:
    """All markers; lines that can hold none, which are most, are passed over at once."""
    start = 0
    for line in end.split("\n"):
        stop = start + len(line)
        if "answer" in line.lower() or "####" in line or _A_LINE.match(line):
            yield from _MARKER.finditer(end, start, stop)
        start = stop + 1


def _only_supposed(end: str, match: re.Match[str]) -> bool:
    """Whether an answer is only spoken about: `check that the answer is`."""
    if match.lastgroup not in {"phrase", "label"}:
        return False
    return _HYPOTHETICAL.search(end[max(0, match.start() - 40) : match.start()]) is not None


def _statement(end: str, match: re.Match[str], rest: str, *, whole: bool) -> Statement:
    kind = match.lastgroup
    line, _, below = rest.partition("\n")
    begun = end.rfind("\n", 0, match.start()) + 1
    before = end[max(begun, match.start() - 80) : match.start()]
    said, same_line = line, True
    if not _SAYS.search(line) or _LATER.match(line) or (_COLON.search(line) and not _numeral(line)):
        said, same_line = _next_line(below), False
    if (kind == "hashes" or not same_line) and _ENUMERATED.match(said):
        said = ""
    if kind == "phrase":
        sentence = True
    else:
        at_start = kind == "heading" or (kind == "label" and _OF_LINE.match(before) is not None)
        final = "final" in match.group().lower() or "final" in before.lower()
        opens = not end[:begun].strip() and not final
        sentence = at_start and not opens and len(sentences(said)) < 2
    finished = "\n" in rest or not whole or _ENDED.search(line) is not None
    announced = (
        kind == "phrase"
        and same_line
        and finished
        and not any(line.count(opens) > line.count(shuts) for opens, shuts in _PAIRS)
        and "be" not in match.group().lower().split()
        and not re.match(r"\W*(?:not|n't)\b", line, re.IGNORECASE)
        and _SENTENCE.search(before) is not None
    )
    return Statement(kind or "", said, rest, sentence, announced)


def _numeral(line: str) -> bool:
    return any(each.isdigit() for each in line)


def _next_line(below: str) -> str:
    """The next line that says something; a heading says nothing of an answer."""
    for line in below.split("\n"):
        if _SAYS.search(line) and not _FORM.match(line):
            return "" if _HEADING.match(line) else line
    return ""
