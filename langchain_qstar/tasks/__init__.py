"""Families of questions: how each is prompted, ended, answered and compared."""

from __future__ import annotations

from typing import Final

from langchain_qstar.errors import SettingsError
from langchain_qstar.protocols import Task
from langchain_qstar.tasks.gsm8k import GSM8K
from langchain_qstar.tasks.nano import NANO

__all__ = ["GSM8K", "NANO", "TASKS", "get_task"]

TASKS: Final[dict[str, Task]] = {task.name: task for task in (NANO, GSM8K)}
"""The tasks that a name selects."""


def get_task(task: str | Task) -> Task:
    """The task of that name; a `Task` is returned as it is.

    Raises:
        SettingsError: No task has that name.
    """
    if isinstance(task, Task):
        return task
    if task not in TASKS:
        raise SettingsError(f"unknown task {task!r}; choose one of: {', '.join(TASKS)}")
    return TASKS[task]
