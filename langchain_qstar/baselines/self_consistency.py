"""Self-consistency: many solutions, and the answer most of them give.

Source: Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in
Language Models", ICLR 2023, section 2 (unweighted majority).
"""

from __future__ import annotations

from collections.abc import Sequence

from langchain_qstar.baselines.solving import Method, Run, adrive, drive, vote
from langchain_qstar.protocols import Image, Policy, Task
from langchain_qstar.solution import Solution


def self_consistency(
    question: str,
    *,
    policy: Policy,
    task: Task,
    n: int = 8,
    temperature: float = 0.8,
    seed: int = 0,
    max_tokens: int | None = None,
    images: Sequence[Image] = (),
) -> Solution:
    """Answer by the majority of `n` sampled solutions.

    Solutions without an answer do not vote. Of answers with as many votes, the
    one drawn first wins; the path is the first solution that gives the answer.

    Args:
        question: What to answer.
        policy: Who answers.
        task: How the question is prompted and answers are compared.
        n: Solutions to draw.
        temperature: Of sampling.
        seed: Of the run; samples are those `best_of_n` draws by the same seed.
        max_tokens: Most tokens to generate in all, or None.
        images: What the question shows, if anything.

    Raises:
        QuestionError: The question cannot be asked.
        SettingsError: A value is out of range.
        ModelError: The policy failed.
    """
    method = _method(
        question,
        policy,
        task,
        seed,
        n=n,
        temperature=temperature,
        max_tokens=max_tokens,
        images=images,
    )
    return drive(method, policy)


async def aself_consistency(
    question: str,
    *,
    policy: Policy,
    task: Task,
    n: int = 8,
    temperature: float = 0.8,
    seed: int = 0,
    max_tokens: int | None = None,
    images: Sequence[Image] = (),
) -> Solution:
    """As `self_consistency`, without blocking the event loop."""
    method = _method(
        question,
        policy,
        task,
        seed,
        n=n,
        temperature=temperature,
        max_tokens=max_tokens,
        images=images,
    )
    return await adrive(method, policy)


def _method(
    question: str,
    policy: Policy,
    task: Task,
    seed: int,
    *,
    n: int,
    temperature: float,
    max_tokens: int | None,
    images: Sequence[Image],
) -> Method:
    run = Run(question, policy, task, seed, images)
    yield from run.draw(n, temperature, max_tokens)
    votes, winners = vote(run.samples, task)
    settings = {"n": n, "temperature": temperature, "max_tokens": max_tokens}
    return run.solution("self-consistency", winners[0] if winners else None, settings, votes=votes)
