"""Grade-school word problems: GSM8K (Cobbe et al., 2021).

The test questions are not in this package.
"""

from __future__ import annotations

from typing import Final

from langchain_qstar.answers import (
    final_number,
    gold_number,
    guess_number,
    same_number,
    states_number,
)
from langchain_qstar.checks.arithmetic import arithmetic
from langchain_qstar.protocols import Task
from langchain_qstar.stepping.thoughts import calculation_end
from langchain_qstar.tasks.prompted import ANSWER_PREFILL, asked_with
from langchain_qstar.tasks.prompted_forms import PromptedForms

GSM8K: Final = Task(
    name="gsm8k",
    messages=asked_with("gsm8k"),
    answer=final_number,
    guess=guess_number,
    gold=gold_number,
    is_terminal=states_number,
    stop=("\n",),
    step_end=calculation_end,
    step_tokens=192,
    solution_tokens=512,
    answer_prefill=ANSWER_PREFILL,
    equivalent=same_number,
    checks=(arithmetic,),
    forms=PromptedForms(
        "word_problems", step_tokens=192, solution_tokens=512, step_end=calculation_end
    ),
)
"""One user message with an instruction; a step is a thought with what it needs to be one."""
