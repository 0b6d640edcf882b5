"""Greedy decoding: the most probable token each time, one solution."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_qstar.baselines.budget import Budget
from langchain_qstar.baselines.driving import Method, adrive, drive
from langchain_qstar.baselines.sampling import SamplingParameters
from langchain_qstar.baselines.solving import Run
from langchain_qstar.checks.running import StepChecks
from langchain_qstar.protocols import Image, Policy, Task
from langchain_qstar.solution import Solution


def greedy(
    question: str,
    *,
    policy: Policy,
    task: Task,
    seed: int = 0,
    max_tokens: int | None = None,
    max_completions: int | None = None,
    max_seconds: float | None = None,
    checks: StepChecks | None = None,
    images: Sequence[Image] = (),
) -> Solution:
    """Answer by one solution at temperature 0.

    One that ends without an answer is asked for it once (`nodes.concluding`).

    Args:
        question: What to answer.
        policy: Who answers.
        task: How the question is prompted and its answer read.
        seed: Recorded only; nothing is random for a local model.
        max_tokens: Most tokens to generate, or None for the task's own limit.
        max_completions: With 1 nothing is asked again; for this, and for `max_seconds`, see
            `Budget`.
        max_seconds: Most seconds.
        checks: What judges the steps; by default nothing.
        images: What the question shows, if anything.

    Raises:
        QuestionError: The question cannot be asked.
        SettingsError: The budget is impossible.
        ModelError: The policy failed.
    """
    budget = Budget(max_tokens, max_completions, max_seconds)
    run = Run(question, policy, task, seed, images, budget, checks)
    return drive(_method(run), policy, budget.allowance())


async def agreedy(
    question: str,
    *,
    policy: Policy,
    task: Task,
    seed: int = 0,
    max_tokens: int | None = None,
    max_completions: int | None = None,
    max_seconds: float | None = None,
    checks: StepChecks | None = None,
    images: Sequence[Image] = (),
) -> Solution:
    """As `greedy`, without blocking the event loop."""
    budget = Budget(max_tokens, max_completions, max_seconds)
    return await adrive(
        _method(Run(question, policy, task, seed, images, budget, checks)),
        policy,
        budget.allowance(),
    )


def _method(run: Run) -> Method:
    yield from run.draw(1, SamplingParameters(temperature=0.0))
    return run.solution("greedy", 0 if run.samples else None, {})
