r"""A step as models write it: a thought with its calculation, not a line.

Instruct models answer in Markdown and LaTeX: headings, lists, formulas set off in
`\[ … \]`, code, tables. Of their lines one in seven holds an equation (measured on 40
solutions of two operations), and a search over lines spends its samples on brackets. Here
a step ends with a line only when

- it is outside brackets of formulas, environments and code fences;
- it says something: signs alone, such as `---` or a bare `\[`, are no step;
- it does not only announce: a heading, a line in bold, a label, a colon or comma or
  operator at the end, an equation whose right side is still to be computed;
- it is not a row of a table, which goes on until a blank line;
- with `calculating`, it holds a digit: a paragraph without one announces a calculation.

Every rule looks back, so that a model can be stopped at that line. Text is joined at most
`MOST_LINES` lines long, so that one that announces for ever is cut all the same. Formulas
and code that are never closed end where the text plainly goes on without them: a formula
with a line of prose, both with a line that begins with the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from math import gcd
from typing import Final

MOST_LINES: Final = 12
"""Non-blank lines after which a step ends where it is outside of formulas and code."""

MOST_PARAGRAPHS: Final = 3
"""Lines without a digit that are joined to the one that calculates."""

_FENCE: Final = re.compile(r"[ \t]{0,3}(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]*)")
_TURN: Final = re.compile(
    r"(?<!\\)(?:(?P<open>\\\[|\\\(|\\begin\{(?P<begun>[^}\n]{1,30})\})"
    r"|\\\]|\\\)|\\end\{[^}\n]{1,30}\}|(?P<both>\$\$))"
)
"""What opens or closes a formula; after a backslash, as in the row end `\\\\[2pt]`, it does not."""

_BARE: Final = {"[": "]", "(": ")"}
r"""What a line may consist of that stands for `\[` and `\]`, with the backslash lost."""

_SPACES: Final = re.compile(r"\s*")
_SAYS: Final = re.compile(r"[^\W_]")
_LIST: Final = re.compile(r"\A(?:[-*+•]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+")
_HEADING: Final = re.compile(r"#{1,6}(?:\s|$)")
_ANSWER_SIGN: Final = re.compile(r"####[\s+$€£¥-]*[.,]?\d")
_LABEL: Final = re.compile(
    r"(?:(?:step|part|case|question|schritt|paso|étape|шаг)\s*\d{0,3}|solution|steps?)[.:)]?",
    re.IGNORECASE,
)
_ANSWERS: Final = re.compile(
    r"\banswer\b[*_\s]*(?:is\b|[:=])[*_\s:]*[^\s*_:]|boxed\{", re.IGNORECASE
)
_BOLD: Final = re.compile(r"(?P<sign>\*\*|__)(?P<text>.+?)(?P=sign)[.:]?")
_UNFINISHED: Final = re.compile(
    r"(?:[:,=+*/×÷^&({\[<≈≤≥→⇒：，＝、-]|\\\\|\\times|\\cdot|\\div|\\frac)$"
)
_RULE: Final = re.compile(r"(?:[-*_=]\s*){3,}")
_DIGIT: Final = re.compile(r"\d")
_EXPRESSION: Final = re.compile(
    r"(?:\\(?:times|cdot|div|left|right|text\{[^}]*\}|[,;!]|quad|[dt]?frac)|[\d\s.,$%+*/×÷·()^{}&-])+"
)
_OPERATOR: Final = re.compile(r"[\d.,%)}]\s*(?:[-+*/×÷·^]|\\times|\\cdot|\\div)|\\[dt]?frac")
_FRACTION: Final = re.compile(r"(?:\\[dt]?frac\{)?(\d{1,9})(?:/|\}\{)(\d{1,9})\}?")
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_FORMAL: Final = re.compile(r"[=\\&{}]")
_PROSE: Final = 4
"""Words of a line without signs of formulas from which on it is prose."""
_TELLS: Final = re.compile(
    r"(?:##+\s)?[*_\s]*(?:(?:so|thus|hence|therefore),?\s)?the (?:final )?answer is\b"
    r"|####\s*[$]?\d",
    re.IGNORECASE,
)


def thought_end(text: str) -> int:
    """Where the first step of `text` ends: a thought with what it needs to be one.

    Args:
        text: What was written since the last step; it may go on.

    Returns:
        The number of characters up to the end of its last line, and of the blank lines
        after it as far as they are there; 0 while the step has not ended.
    """
    return _end(text, calculating=False)


def calculation_end(text: str) -> int:
    """As `thought_end`, for tasks that calculate.

    A paragraph without a digit is part of the step after it, up to `MOST_PARAGRAPHS`.
    """
    return _end(text, calculating=True)


@dataclass(slots=True)
class _Open:
    """What is open at the end of the lines so far, and what they hold."""

    fence: str = ""
    formula: str = ""
    lines: int = 0
    plain: int = 0
    digits: bool = False

    @property
    def is_open(self) -> bool:
        return bool(self.fence or self.formula)


def _end(text: str, *, calculating: bool) -> int:
    state = _Open()
    at = 0
    says = announced = table = False
    while (newline := text.find("\n", at)) >= 0:
        line, at = text[at:newline].strip(), newline + 1
        if not line:
            if table and says and not state.is_open:
                return past_blank_lines(text, at)
            continue
        if _is_past(line, state):
            state.fence = state.formula = ""
        was_open = state.is_open
        _read(line, state)
        says = says or _SAYS.search(line) is not None
        table = _is_row(line) and not was_open
        if state.is_open:
            continue
        announced = _announces(line) and not was_open
        answers = _ANSWERS.search(line) is not None
        wanting = calculating and not (state.digits or answers) and state.plain < MOST_PARAGRAPHS
        if says and (state.lines >= MOST_LINES or not (announced or table or wanting)):
            return past_blank_lines(text, at)
    return 0


def _read(line: str, state: _Open) -> None:
    """What a line opens and closes."""
    state.lines += 1
    state.plain += not _announces(line)
    state.digits = state.digits or _DIGIT.search(_LIST.sub("", line, count=1)) is not None
    if fence := _FENCE.match(line):
        sign = fence["fence"]
        if not state.fence:
            state.fence = sign
        elif sign[0] == state.fence[0] and len(sign) >= len(state.fence) and not fence["info"]:
            state.fence = ""
        return
    if state.fence:
        return
    if line in _BARE and not state.formula:
        state.formula = _BARE[line]
    elif line == state.formula:
        state.formula = ""
    else:
        _read_formulas(line, state)


def _read_formulas(line: str, state: _Open) -> None:
    """Brackets of formulas, of which the outermost alone counts."""
    for turn in _TURN.finditer(line):
        if not state.formula:
            if turn["begun"]:
                state.formula = f"\\end{{{turn['begun']}}}"
            elif turn["open"]:
                state.formula = {"\\[": "\\]", "\\(": "\\)"}[turn["open"]]
            elif turn["both"]:
                state.formula = "$$"
        elif turn.group() == state.formula:
            state.formula = ""


def _is_past(line: str, state: _Open) -> bool:
    """Whether a line is outside of the formula or code that was opened before it."""
    if not state.is_open:
        return False
    prose = bool(state.formula) and not _FORMAL.search(line) and _is_prose(line)
    return prose or _TELLS.match(line) is not None


def _is_prose(line: str) -> bool:
    return sum(1 for _ in islice(_WORD.finditer(line), _PROSE)) == _PROSE


def _is_row(line: str) -> bool:
    """Whether a line is a row of a table."""
    return line.startswith("|") and line.endswith("|") and line.count("|") > 2


def _announces(line: str) -> bool:
    """Whether a line only says what comes next."""
    if _ANSWER_SIGN.match(line) or _ANSWERS.search(line):
        return False
    if _HEADING.match(line) or _RULE.fullmatch(line):
        return True
    item = _LIST.sub("", line, count=1).strip()
    bold = _BOLD.fullmatch(item)
    said = (bold["text"] if bold else item).strip()
    if bold and "=" not in said and not _is_sentence(said):
        return True
    said = said.strip("*_ ")
    if not said or _LABEL.fullmatch(said) or _UNFINISHED.search(said):
        return True
    return _is_to_be_computed(said)


def _is_sentence(said: str) -> bool:
    """Whether a text in bold states something, and is no heading."""
    return said.endswith(".") and bool(_WORD.search(said) and _DIGIT.search(said))


def _is_to_be_computed(line: str) -> bool:
    """Whether a line is an expression, or an equation whose last side is one.

    A fraction in lowest terms is a value.
    """
    line = line.strip("$ ").removesuffix(".")
    _, _, last = line.rpartition("=")
    last = last.strip().strip("$")
    if not _EXPRESSION.fullmatch(last) or not _OPERATOR.search(last.lstrip("-( ")):
        return False
    fraction = _FRACTION.fullmatch(last.lstrip("- "))
    return fraction is None or gcd(int(fraction[1]), int(fraction[2])) > 1


def past_blank_lines(text: str, at: int) -> int:
    """`at`, which is where a line begins, or where the blank lines there end.

    A token may hold the end of a line and blank lines; it is not cut then.
    """
    spaces = _SPACES.match(text, at)
    assert spaces is not None
    end = spaces.end()
    return end if end == len(text) else max(at, text.rfind("\n", at, end) + 1)
