"""A task of sums with every kind of answer, and the baselines as one function of a policy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from langchain_qstar.baselines import (
    abest_of_n,
    agreedy,
    aself_consistency,
    best_of_n,
    greedy,
    self_consistency,
)
from langchain_qstar.checks.running import StepChecks
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import State, Task
from langchain_qstar.solution import Solution

Solve = Callable[..., Solution]


def no_sevens(state: State, step: str) -> bool | None:
    """A check: a step with a 7 is wrong."""
    return "7" not in step


def _last(pattern: str) -> Callable[[str], str | None]:
    return lambda text: ([None, *re.findall(pattern, text)])[-1]


@pytest.fixture(scope="session")
def sums() -> Task:
    """`The answer is N` marks the answer, `makes N` lets it be guessed."""
    return Task(
        name="sums",
        messages=lambda question: (("user", question),),
        answer=_last(r"The answer is (\d+)"),
        guess=_last(r"makes (\d+)"),
        is_terminal=lambda text: "The answer is" in text,
        solution_tokens=30,
        answer_prefill="The answer is",
        checks=(no_sevens,),
    )


METHODS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "greedy": (greedy, agreedy, {}),
    "self-consistency": (self_consistency, aself_consistency, {"n": 3}),
    "checked-self-consistency": (self_consistency, aself_consistency, {"n": 3, "checked": True}),
    "best-of-n": (best_of_n, abest_of_n, {"n": 3, "scorer": ScriptedScorer({}, default=0.5)}),
}


@pytest.fixture(params=[(name, way) for name in METHODS for way in ("sync", "async")], ids=str)
def solve(request, sums) -> Solve:
    """Ask a baseline, blocking or not: `solve(policy or script, **options)`."""
    name, way = request.param
    blocking, waiting, given = METHODS[name]

    def ask(policy: Any, **options: Any) -> Solution:
        if isinstance(policy, dict):
            policy = ScriptedPolicy(policy, logprob=-0.5)
        checks = StepChecks(options.pop("task", sums).checks)
        own = given if "n" in given or name == "greedy" else {}
        if name == "greedy":
            options.pop("n", None)
        asked = {"policy": policy, "task": sums, "checks": checks, **own, **options}
        if way == "sync":
            solution: Solution = blocking("What?", **asked)
        else:
            solution = asyncio.run(waiting("What?", **asked))
        assert solution.method == name
        return solution

    return ask
