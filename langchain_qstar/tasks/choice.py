"""Questions with lettered options, which are part of the question."""

from __future__ import annotations

from typing import Final

from langchain_qstar.answers import final_choice, same_choice
from langchain_qstar.checks.arithmetic import arithmetic
from langchain_qstar.protocols import Task
from langchain_qstar.tasks.prompted import ANSWER_PREFILL, asked_with, has_answer_line

CHOICE: Final = Task(
    name="choice",
    messages=asked_with("choice"),
    answer=final_choice,
    is_terminal=has_answer_line,
    stop=("\n",),
    step_tokens=128,
    solution_tokens=512,
    answer_prefill=ANSWER_PREFILL,
    equivalent=same_choice,
    checks=(arithmetic,),
)
"""One user message with an instruction; a step is a line."""
