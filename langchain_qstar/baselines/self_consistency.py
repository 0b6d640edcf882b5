"""Self-consistency: many solutions, and the answer most of them give.

Source: Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in
Language Models", ICLR 2023, section 2 (unweighted majority). Leaving out the samples
that a check refutes is our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from langchain_qstar.baselines.budget import Budget
from langchain_qstar.baselines.driving import Method, adrive, drive
from langchain_qstar.baselines.sampling import SamplingParameters
from langchain_qstar.baselines.solving import Run
from langchain_qstar.baselines.voting import checked_vote, vote, vote_among
from langchain_qstar.checks.running import StepChecks
from langchain_qstar.errors import SettingsError
from langchain_qstar.protocols import Image, Policy, Task
from langchain_qstar.solution import Solution
from langchain_qstar.verification.verdict import Abstain


def self_consistency(
    question: str,
    *,
    policy: Policy,
    task: Task,
    n: int = 8,
    temperature: float = 0.8,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    checks: StepChecks | None = None,
    checked: bool = False,
    abstain: Abstain = False,
    max_tokens: int | None = None,
    max_completions: int | None = None,
    max_seconds: float | None = None,
    images: Sequence[Image] = (),
) -> Solution:
    """Answer by the majority of `n` sampled solutions.

    Solutions that end without an answer are asked for it once (`nodes.concluding`);
    those that have none do not vote. Of answers with as many votes one that a solution
    without a failed check gives wins, then the one drawn first; the path is the first
    solution that gives the answer, without a failed check if there is such a one.

    Args:
        question: What to answer.
        policy: Who answers.
        task: How the question is prompted and answers are compared.
        n: Solutions to draw.
        temperature: Of sampling.
        top_p: Sample from the smallest set of most likely tokens with this total probability.
        top_k: Sample from the k most likely tokens; 0 is all of them.
        seed: Of the run; samples are those `best_of_n` draws by the same seed.
        checks: What judges the steps; by default nothing.
        checked: Whether only solutions without a failed check vote. All vote when none
            of those has an answer.
        abstain: Choose among the solutions that would not be withheld, if there are any
            (`verification.verdict`). The answer of the others is not withheld here.
        max_tokens: Most tokens to generate in all, or None; the solutions drawn until
            then vote. For the limits see `Budget`.
        max_completions: Most completions to draw.
        max_seconds: Most seconds.
        images: What the question shows, if anything.

    Raises:
        QuestionError: The question cannot be asked.
        SettingsError: A value is out of range.
        ModelError: The policy failed.
    """
    budget = Budget(max_tokens, max_completions, max_seconds)
    run = Run(question, policy, task, seed, images, budget, checks, abstain)
    return drive(
        _method(run, n, SamplingParameters(temperature, top_p, top_k), checked=checked),
        policy,
        budget.allowance(),
    )


async def aself_consistency(
    question: str,
    *,
    policy: Policy,
    task: Task,
    n: int = 8,
    temperature: float = 0.8,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    checks: StepChecks | None = None,
    checked: bool = False,
    abstain: Abstain = False,
    max_tokens: int | None = None,
    max_completions: int | None = None,
    max_seconds: float | None = None,
    images: Sequence[Image] = (),
) -> Solution:
    """As `self_consistency`, without blocking the event loop."""
    budget = Budget(max_tokens, max_completions, max_seconds)
    run = Run(question, policy, task, seed, images, budget, checks, abstain)
    return await adrive(
        _method(run, n, SamplingParameters(temperature, top_p, top_k), checked=checked),
        policy,
        budget.allowance(),
    )


def _method(run: Run, n: int, parameters: SamplingParameters, *, checked: bool) -> Method:
    if checked:
        require_checks(run.checks, run.task)
    yield from run.draw(n, parameters)
    votes, winners = (checked_vote if checked else vote)(run.samples, run.task)
    if run.abstain:
        winners = vote_among(run.answering(), run.samples, run.task)[1] or winners
    return run.solution(
        "checked-self-consistency" if checked else "self-consistency",
        winners[0] if winners else None,
        {"n": n, **asdict(parameters), "checked": checked},
        votes=votes,
    )


def require_checks(checks: StepChecks | None, task: Task) -> None:
    """Raise `SettingsError` where there is no check that could keep a solution from voting."""
    if checks is None or not checks.names:
        raise SettingsError(
            f"checked self-consistency needs checks, and task {task.name!r} has none here; "
            "pass checks=, or leave out checked"
        )
