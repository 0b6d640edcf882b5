"""A small world: a scripted model that answers one question right or wrong."""

from __future__ import annotations

import pytest

from langchain_qstar.models import ScriptedPolicy
from langchain_qstar.protocols import Task

SUMS = Task(
    name="sums",
    messages=lambda question: (("user", question),),
    is_terminal=lambda text: "so " in text,
    answer=lambda text: text.rpartition("so ")[2].strip() or None,
)
SCRIPT = {
    "": ["2+3=5\n", "2+3=6\n", "3+2=5\n"],
    "2+3=5\n": ["so 5\n"],
    "2+3=6\n": ["so 6\n"],
    "3+2=5\n": ["so 5\n", "so 4\n"],
}


@pytest.fixture
def sums():
    """A task: the last line of a solution is `so ANSWER`."""
    return SUMS


@pytest.fixture
def scripted():
    """A policy whose first, second and third sample take different first steps."""
    return ScriptedPolicy(SCRIPT, logprob=-0.5)
