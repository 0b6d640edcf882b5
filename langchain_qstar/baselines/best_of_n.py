"""Best-of-N: many solutions, and the one a step scorer likes best.

Source: Cobbe et al., "Training Verifiers to Solve Math Word Problems", 2021
(choose the best); Lightman et al., "Let's Verify Step by Step", 2023 (a score
for every step, aggregated over the solution); Li et al., "Making Language Models
Better Reasoners with Step-Aware Verifier", ACL 2023 (the weighted vote).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, get_args

from langchain_qstar.baselines.solving import Method, Run, Scoring, adrive, drive, vote
from langchain_qstar.errors import SettingsError
from langchain_qstar.protocols import Image, Policy, ScoreRequest, Scores, StepScorer, Task
from langchain_qstar.solution import Solution

Aggregate = Literal["min", "last", "mean"]

_AGGREGATES: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "min": min,
    "last": lambda values: values[-1],
    "mean": lambda values: sum(values) / len(values),
}


def best_of_n(
    question: str,
    *,
    policy: Policy,
    task: Task,
    scorer: StepScorer,
    n: int = 8,
    temperature: float = 0.8,
    aggregate: Aggregate = "min",
    weighted: bool = False,
    seed: int = 0,
    max_tokens: int | None = None,
    images: Sequence[Image] = (),
) -> Solution:
    """Answer by the best-scored of `n` sampled solutions.

    Every step of every solution is scored; the score of a solution aggregates
    them. A solution without an answer is chosen only when none has one.

    Args:
        question: What to answer.
        policy: Who answers.
        task: How the question is prompted and answers are compared.
        scorer: Who scores; values in [0, 1].
        n: Solutions to draw.
        temperature: Of sampling.
        aggregate: From the scores of steps to the score of a solution.
        weighted: Choose the answer with the greatest sum of scores, and its
            best-scored solution, instead of the best solution alone.
        seed: Of the run; samples are those `self_consistency` draws by it.
        max_tokens: Most tokens the policy generates in all, or None.
        images: What the question shows, if anything.

    Raises:
        QuestionError: The question cannot be asked.
        SettingsError: A value is out of range.
        ModelError: The policy or the scorer failed.
    """
    method = _method(
        question,
        policy,
        task,
        seed,
        scorer=scorer,
        n=n,
        temperature=temperature,
        aggregate=aggregate,
        weighted=weighted,
        max_tokens=max_tokens,
        images=images,
    )
    return drive(method, policy)


async def abest_of_n(
    question: str,
    *,
    policy: Policy,
    task: Task,
    scorer: StepScorer,
    n: int = 8,
    temperature: float = 0.8,
    aggregate: Aggregate = "min",
    weighted: bool = False,
    seed: int = 0,
    max_tokens: int | None = None,
    images: Sequence[Image] = (),
) -> Solution:
    """As `best_of_n`, without blocking the event loop."""
    method = _method(
        question,
        policy,
        task,
        seed,
        scorer=scorer,
        n=n,
        temperature=temperature,
        aggregate=aggregate,
        weighted=weighted,
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
    scorer: StepScorer,
    n: int,
    temperature: float,
    aggregate: Aggregate,
    weighted: bool,
    max_tokens: int | None,
    images: Sequence[Image],
) -> Method:
    if aggregate not in _AGGREGATES:
        raise SettingsError(
            f"aggregate={aggregate!r}; choose one of: {', '.join(get_args(Aggregate))}"
        )
    run = Run(question, policy, task, seed, images)
    yield from run.draw(n, temperature, max_tokens)
    scores: list[Scores] = yield Scoring(scorer, _requests(run))
    run.spend(scores)
    values = _by_sample(run, scores)
    totals = [_AGGREGATES[aggregate](each) if each else 0.0 for each in values]
    votes, winners = vote(run.samples, task, totals)
    candidates = winners if weighted and winners else _answered(run)
    chosen = max(candidates, key=lambda number: (totals[number], -number))
    settings = {
        "n": n,
        "temperature": temperature,
        "aggregate": aggregate,
        "weighted": weighted,
        "max_tokens": max_tokens,
    }
    return run.solution(
        "best-of-n", chosen, settings, votes=votes, values=values[chosen], scorer=scorer
    )


def _requests(run: Run) -> list[ScoreRequest]:
    """One request per step of each sample, each in the state before it."""
    requests = []
    for sample in run.samples:
        state = run.root
        for step in sample.steps:
            requests.append(ScoreRequest(state, (step,)))
            state = state.then(step)
    return requests


def _by_sample(run: Run, scores: Sequence[Scores]) -> list[list[float]]:
    remaining = iter(scores)
    return [[next(remaining).values[0] for _ in sample.steps] for sample in run.samples]


def _answered(run: Run) -> list[int]:
    """The samples that have an answer; all of them when none has."""
    numbers = range(len(run.samples))
    return [n for n in numbers if run.samples[n].answer is not None] or list(numbers)
