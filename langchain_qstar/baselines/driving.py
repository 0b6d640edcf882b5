"""How a baseline runs: its logic is written once, and driven from sync and async code.

A method is a generator that yields the work it wants done and is sent the results.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_qstar import driving
from langchain_qstar.nodes.phase import score
from langchain_qstar.protocols import Policy, SampleRequest, ScoreRequest, StepScorer
from langchain_qstar.solution import Solution
from langchain_qstar.spending.allowance import Allowance, held_to
from langchain_qstar.spending.drawing import adraw, draw


@dataclass(frozen=True, slots=True)
class Sampling:
    """Work: sample these requests, and send the completions back."""

    requests: list[SampleRequest]


@dataclass(frozen=True, slots=True)
class Scoring:
    """Work: score these requests, and send the `Scores` back; None where a budget is spent."""

    scorer: StepScorer
    requests: list[ScoreRequest]


@dataclass(frozen=True, slots=True)
class Aside:
    """Work that calls no model, and may take long: do it, and send the result back."""

    work: Callable[[], Any]


Work: TypeAlias = Sampling | Scoring | Aside
Method: TypeAlias = Generator[Work, Any, Solution]
"""A method in progress: yields work, is sent its results, returns a solution."""


def drive(method: Method, policy: Policy, budget: Allowance | None = None) -> Solution:
    """Run a method to its end, blocking.

    Args:
        method: In progress.
        policy: Who is sampled.
        budget: What all of its work may spend; None is no limit.
    """

    def done(work: Work) -> Any:
        match work:
            case Sampling(requests):
                return draw(policy, requests)
            case Scoring(scorer, steps):
                return score(scorer, steps).run()
            case Aside(todo):
                return todo()

    with held_to(budget):
        return driving.drive(method, done)


async def adrive(method: Method, policy: Policy, budget: Allowance | None = None) -> Solution:
    """Run a method to its end without blocking the event loop."""

    async def done(work: Work) -> Any:
        match work:
            case Sampling(requests):
                return await adraw(policy, requests)
            case Scoring(scorer, steps):
                return await score(scorer, steps).arun()
            case Aside(todo):
                return await asyncio.to_thread(todo)

    with held_to(budget):
        return await driving.adrive(method, done)
