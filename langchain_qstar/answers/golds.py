r"""Gold answers as data sets write them: bare, after `####`, in `\boxed{}`, or as a word.

What cannot be read is None, so that nobody is graded against it. GSM8K ends its own
solutions with `#### 72` (Cobbe et al., 2021), and MATH with `\boxed{}` (Hendrycks et al.,
2021).
"""

from __future__ import annotations

from typing import Final

from langchain_qstar.answers.digits import canonical_number, parse_number
from langchain_qstar.answers.latex import stated_latex
from langchain_qstar.answers.numbers import final_number, find_number
from langchain_qstar.answers.words import final_choice, final_yes_no, parse_choice, parse_yes_no

_BARE: Final = 200
"""Most characters of an answer without the solution that it ends."""

_HASHES: Final = "####"


def gold_number(text: str) -> str | None:
    r"""The number of `72`, `1,250`, `... #### 72`, `\boxed{72}` or `seventy-two`, canonical.

    >>> gold_number("Natalia sold 48+24 = <<48+24=72>>72 clips.\n#### 1,072")
    '1072'
    """
    _, hashes, rest = text.rpartition(_HASHES)
    if hashes:
        value = parse_number(rest.strip())
    else:
        value = parse_number(text)
        if value is None:
            stated = final_number(text)
            if stated is not None or len(text) > _BARE or any(map(str.isdigit, text)):
                return stated
            value = find_number(text)
    return None if value is None else canonical_number(value)


def gold_latex(text: str) -> str | None:
    r"""What a solution puts into its `\boxed{}`, or a bare answer as it is written."""
    text = text.strip()
    bare = len(text) <= _BARE and "\n" not in text
    stated = stated_latex(text.rpartition(_HASHES)[2] if bare and _HASHES in text else text)
    if stated is not None or "boxed" in text or not bare:
        return stated
    return text.rpartition(_HASHES)[2].strip() or None


def gold_yes_no(text: str) -> str | None:
    """`yes` or `no`, of these, of `true` or `false`, or of a solution that states one."""
    return parse_yes_no(text.strip()) or final_yes_no(text)


def gold_choice(text: str) -> str | None:
    """The letter of `B`, `(b)` or `B) 5 apples`, or of a solution that states one."""
    return parse_choice(text.strip()) or final_choice(text)
