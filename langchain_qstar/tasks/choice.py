"""Questions with lettered options, which are part of the question."""

from __future__ import annotations

from typing import Final

from langchain_qstar.answers import (
    final_choice,
    gold_choice,
    guess_choice,
    same_choice,
    states_choice,
)
from langchain_qstar.checks.arithmetic import arithmetic
from langchain_qstar.protocols import Task
from langchain_qstar.stepping.thoughts import thought_end
from langchain_qstar.tasks.prompted import ANSWER_PREFILL, asked_with
from langchain_qstar.tasks.prompted_forms import PromptedForms

CHOICE: Final = Task(
    name="choice",
    messages=asked_with("choice"),
    answer=final_choice,
    guess=guess_choice,
    gold=gold_choice,
    is_terminal=states_choice,
    stop=("\n",),
    step_end=thought_end,
    step_tokens=192,
    solution_tokens=512,
    answer_prefill=ANSWER_PREFILL,
    equivalent=same_choice,
    checks=(arithmetic,),
    forms=PromptedForms("choice", step_tokens=128, solution_tokens=512),
)
"""One user message with an instruction; a step is a thought with what it needs to be one."""
