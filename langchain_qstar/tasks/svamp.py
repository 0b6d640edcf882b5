"""Short word problems with a distractor: SVAMP (Patel et al., 2021)."""

from __future__ import annotations

from typing import Final

from langchain_qstar.answers import final_number, same_number
from langchain_qstar.checks.arithmetic import arithmetic
from langchain_qstar.protocols import Task
from langchain_qstar.tasks.prompted import ANSWER_PREFILL, asked_with, has_answer_line
from langchain_qstar.tasks.prompted_forms import PromptedForms

SVAMP: Final = Task(
    name="svamp",
    messages=asked_with("svamp"),
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
