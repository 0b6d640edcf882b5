"""rStar's five actions: the reasoning they continue, and how each is asked for.

Floor 1: pure functions. What needs prompt files of its own is in `tasks`.
"""

from __future__ import annotations

from langchain_qstar.actions.inline import InlineForms, forms_of
from langchain_qstar.actions.problem import (
    context_of,
    is_last_subquestion,
    normalised,
    problem_part,
    unlabelled,
)
from langchain_qstar.actions.shapes import ActionForms, Opening, Thought, Trace
from langchain_qstar.actions.traces import trace_of

__all__ = [
    "ActionForms",
    "InlineForms",
    "Opening",
    "Thought",
    "Trace",
    "context_of",
    "forms_of",
    "is_last_subquestion",
    "normalised",
    "problem_part",
    "trace_of",
    "unlabelled",
]
