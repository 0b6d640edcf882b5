"""Word problems of several operations: MultiArith (Roy and Roth, 2015)."""

from __future__ import annotations

from typing import Final

from langchain_qstar.answers import final_number, same_number
from langchain_qstar.checks.arithmetic import arithmetic
from langchain_qstar.protocols import Task
from langchain_qstar.tasks.prompted import ANSWER_PREFILL, asked_with, has_answer_line
from langchain_qstar.tasks.prompted_forms import PromptedForms

MULTIARITH: Final = Task(
    name="multiarith",
    messages=asked_with("multiarith"),
    answer=final_number,
    is_terminal=has_answer_line,
    stop=("\n",),
    step_tokens=96,
    solution_tokens=256,
    answer_prefill=ANSWER_PREFILL,
    equivalent=same_number,
    checks=(arithmetic,),
    forms=PromptedForms("word_problems", step_tokens=96, solution_tokens=256),
)
"""One user message with an instruction; a step is a line."""
