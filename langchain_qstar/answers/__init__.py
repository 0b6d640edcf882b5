"""Answers in text: where they are, their canonical form, and when two are the same.

Pure text, standard library only. An answer that does not parse is None, which
is counted apart from a wrong one. LaTeX answers are found here and compared in
`checks.latex`, since that needs computer algebra.
"""

from __future__ import annotations

from langchain_qstar.answers.golds import gold_choice, gold_latex, gold_number, gold_yes_no
from langchain_qstar.answers.latex import (
    final_latex,
    guess_latex,
    stated_latex,
    states_latex,
)
from langchain_qstar.answers.numbers import (
    canonical_number,
    final_number,
    find_number,
    guess_number,
    near_number,
    parse_number,
    same_number,
    states_number,
)
from langchain_qstar.answers.words import (
    final_choice,
    final_yes_no,
    guess_choice,
    guess_yes_no,
    parse_choice,
    parse_yes_no,
    same_choice,
    same_yes_no,
    states_choice,
    states_yes_no,
)

__all__ = [
    "canonical_number",
    "final_choice",
    "final_latex",
    "final_number",
    "final_yes_no",
    "find_number",
    "gold_choice",
    "gold_latex",
    "gold_number",
    "gold_yes_no",
    "guess_choice",
    "guess_latex",
    "guess_number",
    "guess_yes_no",
    "near_number",
    "parse_choice",
    "parse_number",
    "parse_yes_no",
    "same_choice",
    "same_number",
    "same_yes_no",
    "stated_latex",
    "states_choice",
    "states_latex",
    "states_number",
    "states_yes_no",
]
