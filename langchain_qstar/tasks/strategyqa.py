"""Yes-or-no questions over several facts: StrategyQA (Geva et al., 2021).

No check can judge its steps, so its solutions are never verified.
"""

from __future__ import annotations

from typing import Final

from langchain_qstar.answers import (
    final_yes_no,
    gold_yes_no,
    guess_yes_no,
    same_yes_no,
    states_yes_no,
)
from langchain_qstar.protocols import Task
from langchain_qstar.stepping.thoughts import thought_end
from langchain_qstar.tasks.prompted import ANSWER_PREFILL, asked_with
from langchain_qstar.tasks.prompted_forms import PromptedForms

STRATEGYQA: Final = Task(
    name="strategyqa",
    messages=asked_with("strategyqa"),
    answer=final_yes_no,
    guess=guess_yes_no,
    gold=gold_yes_no,
    is_terminal=states_yes_no,
    stop=("\n",),
    step_end=thought_end,
    step_tokens=192,
    solution_tokens=512,
    answer_prefill=ANSWER_PREFILL,
    equivalent=same_yes_no,
    forms=PromptedForms("yes_no", step_tokens=192, solution_tokens=512, step_end=thought_end),
)
"""One user message with an instruction; a step is a thought with what it needs to be one."""
