"""Competition mathematics with LaTeX answers: MATH (Hendrycks et al., 2021).

Comparing answers and the symbolic check need the extra `checks`. The questions
are not in this package.
"""

from __future__ import annotations

from typing import Final

from langchain_qstar.answers import gold_latex, guess_latex, stated_latex, states_latex
from langchain_qstar.checks.arithmetic import arithmetic
from langchain_qstar.checks.latex import same_latex
from langchain_qstar.checks.symbolic import symbolic
from langchain_qstar.protocols import Task
from langchain_qstar.stepping.thoughts import calculation_end
from langchain_qstar.tasks.prompted import ANSWER_PREFILL, asked_with
from langchain_qstar.tasks.prompted_forms import PromptedForms

MATH: Final = Task(
    name="math",
    messages=asked_with("math"),
    answer=stated_latex,
    guess=guess_latex,
    gold=gold_latex,
    is_terminal=states_latex,
    stop=("\n",),
    step_end=calculation_end,
    step_tokens=256,
    solution_tokens=1024,
    answer_prefill=ANSWER_PREFILL,
    equivalent=same_latex,
    checks=(
        arithmetic,
        symbolic,
    ),
    forms=PromptedForms(
        "mathematics", step_tokens=192, solution_tokens=1024, step_end=calculation_end
    ),
)
"""One user message with an instruction; a step is a thought, and the answer is boxed."""
