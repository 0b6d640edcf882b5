"""Greedy decoding: the most probable token each time, one solution."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_qstar.baselines.solving import Method, Run, adrive, drive
from langchain_qstar.protocols import Image, Policy, Task
from langchain_qstar.solution import Solution


def greedy(
    question: str,
    *,
    policy: Policy,
    task: Task,
    seed: int = 0,
    max_tokens: int | None = None,
    images: Sequence[Image] = (),
) -> Solution:
    """Answer by one solution at temperature 0.

    Args:
        question: What to answer.
        policy: Who answers.
        task: How the question is prompted and its answer read.
        seed: Recorded only; nothing is random for a local model.
        max_tokens: Most tokens to generate, or None for the task's own limit.
        images: What the question shows, if anything.

    Raises:
        QuestionError: The question cannot be asked.
        SettingsError: The budget is impossible.
        ModelError: The policy failed.
    """
    return drive(
        _method(question, policy, task, seed, max_tokens=max_tokens, images=images), policy
    )


async def agreedy(
    question: str,
    *,
    policy: Policy,
    task: Task,
    seed: int = 0,
    max_tokens: int | None = None,
    images: Sequence[Image] = (),
) -> Solution:
    """As `greedy`, without blocking the event loop."""
    return await adrive(
        _method(question, policy, task, seed, max_tokens=max_tokens, images=images), policy
    )


def _method(
    question: str,
    policy: Policy,
    task: Task,
    seed: int,
    *,
    max_tokens: int | None,
    images: Sequence[Image],
) -> Method:
    run = Run(question, policy, task, seed, images)
    yield from run.draw(1, 0.0, max_tokens)
    return run.solution("greedy", 0, {"max_tokens": max_tokens})
