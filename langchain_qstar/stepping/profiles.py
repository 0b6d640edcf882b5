"""What a step is: a thought, a line, or a number of tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from langchain_qstar.errors import SettingsError
from langchain_qstar.protocols import Task, TextEnd
from langchain_qstar.stepping.thoughts import calculation_end, thought_end

StepForm = Literal["thought", "calculation", "line"] | int
"""`thought` and `calculation` as `stepping.thoughts` has them, `line` is the Q* paper's for
GSM8K and MATH, a number is that of tokens, such as the paper's 24 for code."""

_ENDS: Final = {"thought": thought_end, "calculation": calculation_end}


def endless(_: str) -> int:
    """A step that ends by its number of tokens only."""
    return 0


def with_steps(task: Task, form: StepForm | None) -> Task:
    """The task with another form of steps; as it is when `form` is None.

    Raises:
        SettingsError: There is no such form.

    Source: Q* (arXiv 2406.14283), section 4.1: one line for GSM8K and MATH, a snippet of 24
        tokens for MBPP.
    """
    if form is None:
        return task
    if isinstance(form, int) and not isinstance(form, bool) and form > 0:
        return _ending(task, endless, form)
    if form == "line":
        return _ending(task, None, task.step_tokens)
    if isinstance(form, str) and form in _ENDS:
        return _ending(task, _ENDS[form], task.step_tokens)
    raise SettingsError(
        f"steps={form!r:.40}: choose thought, calculation, line, or a number of tokens from 1 up"
    )


def _ending(task: Task, step_end: TextEnd | None, step_tokens: int) -> Task:
    """The task, and its forms where these know of steps, with this end of a step."""
    with_step_end = getattr(task.forms, "with_step_end", None)
    forms = task.forms if with_step_end is None else with_step_end(step_end, step_tokens)
    return replace(task, step_end=step_end, step_tokens=step_tokens, forms=forms)
