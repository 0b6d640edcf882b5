"""How a baseline runs: its logic is written once, and driven from sync and async code.

A method is a generator that yields the work it wants done and is sent the results.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_qstar.nodes import phase
from langchain_qstar.protocols import Policy, SampleRequest, ScoreRequest, StepScorer
from langchain_qstar.solution import Solution


@dataclass(frozen=True, slots=True)
class Sampling:
    """Work: sample these requests, and send the completions back."""

    requests: list[SampleRequest]


@dataclass(frozen=True, slots=True)
class Scoring:
    """Work: score these requests, and send the `Scores` back."""

    scorer: StepScorer
    requests: list[ScoreRequest]


@dataclass(frozen=True, slots=True)
class Aside:
    """Work that calls no model, and may take long: do it, and send the result back."""

    work: Callable[[], Any]


Work: TypeAlias = Sampling | Scoring | Aside
Method: TypeAlias = Generator[Work, Any, Solution]
"""A method in progress: yields work, is sent its results, returns a solution."""


def drive(method: Method, policy: Policy) -> Solution:
    """Run a method to its end, blocking."""

    def done(work: Work) -> Any:
        match work:
            case Sampling(requests):
                return policy.sample(requests)
            case Scoring(scorer, steps):
                return scorer.score(steps)
            case Aside(todo):
                return todo()

    return phase.drive(method, done)


async def adrive(method: Method, policy: Policy) -> Solution:
    """Run a method to its end without blocking the event loop."""

    async def done(work: Work) -> Any:
        match work:
            case Sampling(requests):
                return await policy.asample(requests)
            case Scoring(scorer, steps):
                return await scorer.ascore(steps)
            case Aside(todo):
                return await asyncio.to_thread(todo)

    return await phase.adrive(method, done)
