"""Questions with lettered options, which are part of the question."""

from __future__ import annotations

from typing import Final

from langchain_qstar.answers import final_choice, same_choice
from langchain_qstar.checks.arithmetic import arithmetic
from langchain_qstar.protocols import Task
from langchain_qstar.stepping.thoughts import thought_end
from langchain_qstar.tasks.prompted import asked_with, has_answer_line

CHOICE: Final = Task(
    name="choice",
    messages=asked_with("choice"),
    answer=final_choice,
    is_terminal=has_answer_line,
    stop=("\n",),
    step_end=thought_end,
    step_tokens=192,
    solution_tokens=512,
    equivalent=same_choice,
    checks=(arithmetic,),
)
"""One user message with an instruction; a step is a thought with what it needs to be one."""
