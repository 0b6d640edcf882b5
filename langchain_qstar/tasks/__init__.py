"""Families of questions: how each is prompted, ended, answered and compared."""

from __future__ import annotations

from typing import Final

from langchain_qstar.errors import SettingsError
from langchain_qstar.protocols import Task
from langchain_qstar.tasks.choice import CHOICE
from langchain_qstar.tasks.fitting import fit_rstar_task, fit_task
from langchain_qstar.tasks.gsm8k import GSM8K
from langchain_qstar.tasks.gsm_hard import GSM_HARD
from langchain_qstar.tasks.math import MATH
from langchain_qstar.tasks.multiarith import MULTIARITH
from langchain_qstar.tasks.nano import NANO
from langchain_qstar.tasks.strategyqa import STRATEGYQA
from langchain_qstar.tasks.svamp import SVAMP

__all__ = [
    "CHOICE",
    "GSM8K",
    "GSM_HARD",
    "MATH",
    "MULTIARITH",
    "NANO",
    "STRATEGYQA",
    "SVAMP",
    "TASKS",
    "fit_rstar_task",
    "fit_task",
    "get_task",
]

TASKS: Final[dict[str, Task]] = {
    task.name: task for task in (NANO, GSM8K, SVAMP, MULTIARITH, GSM_HARD, MATH, STRATEGYQA, CHOICE)
}
"""The tasks that a name selects."""


def get_task(task: str | Task) -> Task:
    """The task of that name; a `Task` is returned as it is.

    Raises:
        SettingsError: No task has that name.
    """
    if isinstance(task, Task):
        return task
    given: object = task  # callers without types pass anything
    if not isinstance(given, str) or given not in TASKS:
        raise SettingsError(f"unknown task {task!r}; choose one of: {', '.join(TASKS)}")
    return TASKS[given]
