"""Answers in text: where they are, their canonical form, and when two are the same.

Pure text, standard library only. An answer that does not parse is None, which
is counted apart from a wrong one. LaTeX answers are found here and compared in
`checks.latex`, since that needs computer algebra.
"""

from __future__ import annotations

from langchain_qstar.answers.latex import final_latex
from langchain_qstar.answers.numbers import (
    canonical_number,
    final_number,
    find_number,
    near_number,
    parse_number,
    same_number,
)
from langchain_qstar.answers.words import (
    final_choice,
    final_yes_no,
    parse_choice,
    parse_yes_no,
    same_choice,
    same_yes_no,
)

__all__ = [
    "canonical_number",
    "final_choice",
    "final_latex",
    "final_number",
    "final_yes_no",
    "find_number",
    "near_number",
    "parse_choice",
    "parse_number",
    "parse_yes_no",
    "same_choice",
    "same_number",
    "same_yes_no",
]
