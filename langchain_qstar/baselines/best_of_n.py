"""Best-of-N: many solutions, and the one a step scorer likes best.

Source: Cobbe et al., "Training Verifiers to Solve Math Word Problems", 2021
(choose the best); Lightman et al., "Let's Verify Step by Step", 2023 (a score
for every step, aggregated over the solution); Li et al., "Making Language Models
Better Reasoners with Step-Aware Verifier", ACL 2023 (the weighted vote).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final, Literal, get_args

from langchain_qstar.baselines.budget import Budget
from langchain_qstar.baselines.driving import Method, Scoring, adrive, drive
from langchain_qstar.baselines.sampling import SamplingParameters
from langchain_qstar.baselines.solving import Run
from langchain_qstar.baselines.voting import vote, vote_among
from langchain_qstar.checks.running import StepChecks
from langchain_qstar.errors import SettingsError
from langchain_qstar.protocols import Image, Policy, ScoreRequest, Scores, StepScorer, Task
from langchain_qstar.solution import Solution
from langchain_qstar.verification.verdict import Abstain

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
    top_p: float = 1.0,
    top_k: int = 0,
    aggregate: Aggregate = "min",
    weighted: bool = False,
    seed: int = 0,
    checks: StepChecks | None = None,
    abstain: Abstain = False,
    max_tokens: int | None = None,
    max_completions: int | None = None,
    max_seconds: float | None = None,
    images: Sequence[Image] = (),
) -> Solution:
    """Answer by the best-scored of `n` sampled solutions.

    Every step of every solution is scored; the score of a solution aggregates
    them. A solution that ends without an answer is asked for it once
    (`nodes.concluding`), and chosen only when none has one. Of equal scores one without
    a failed check wins, then the one drawn first.

    Args:
        question: What to answer.
        policy: Who answers.
        task: How the question is prompted and answers are compared.
        scorer: Who scores; values in [0, 1].
        n: Solutions to draw.
        temperature: Of sampling.
        top_p: Sample from the smallest set of most likely tokens with this total probability.
        top_k: Sample from the k most likely tokens; 0 is all of them.
        aggregate: From the scores of steps to the score of a solution.
        weighted: Choose the answer with the greatest sum of scores, and its
            best-scored solution, instead of the best solution alone.
        seed: Of the run; samples are those `self_consistency` draws by it.
        checks: What judges the steps; by default nothing.
        abstain: Choose among the solutions that would not be withheld, if there are any
            (`verification.verdict`). The answer of the others is not withheld here.
        max_tokens: Most tokens to generate in all, or None; what was drawn until then is
            scored. A scorer that samples has what is left; where that is not enough for all
            of its values, none is used. For the limits see `Budget`.
        max_completions: Most completions to draw.
        max_seconds: Most seconds.
        images: What the question shows, if anything.

    Raises:
        QuestionError: The question cannot be asked.
        SettingsError: A value is out of range.
        ModelError: The policy or the scorer failed.
    """
    budget = Budget(max_tokens, max_completions, max_seconds)
    run = Run(question, policy, task, seed, images, budget, checks, abstain)
    method = _method(
        run, scorer, n, SamplingParameters(temperature, top_p, top_k), aggregate, weighted=weighted
    )
    return drive(method, policy, budget.allowance())


async def abest_of_n(
    question: str,
    *,
    policy: Policy,
    task: Task,
    scorer: StepScorer,
    n: int = 8,
    temperature: float = 0.8,
    top_p: float = 1.0,
    top_k: int = 0,
    aggregate: Aggregate = "min",
    weighted: bool = False,
    seed: int = 0,
    checks: StepChecks | None = None,
    abstain: Abstain = False,
    max_tokens: int | None = None,
    max_completions: int | None = None,
    max_seconds: float | None = None,
    images: Sequence[Image] = (),
) -> Solution:
    """As `best_of_n`, without blocking the event loop."""
    budget = Budget(max_tokens, max_completions, max_seconds)
    run = Run(question, policy, task, seed, images, budget, checks, abstain)
    method = _method(
        run, scorer, n, SamplingParameters(temperature, top_p, top_k), aggregate, weighted=weighted
    )
    return await adrive(method, policy, budget.allowance())


def _method(
    run: Run,
    scorer: StepScorer,
    n: int,
    parameters: SamplingParameters,
    aggregate: Aggregate,
    *,
    weighted: bool,
) -> Method:
    if aggregate not in _AGGREGATES:
        raise SettingsError(
            f"aggregate={aggregate!r}; choose one of: {', '.join(get_args(Aggregate))}"
        )
    settings = {"n": n, **asdict(parameters), "aggregate": aggregate, "weighted": weighted}
    yield from run.draw(n, parameters)
    scores: list[Scores] = []
    if requests := _requests(run):
        scores = (yield Scoring(scorer, requests)) or []
        run.spend(scores)
    values = _by_sample(run, scores)
    totals = [_AGGREGATES[aggregate](each) if each else 0.0 for each in values]
    votes, winners = vote(run.samples, run.task, totals)
    if run.abstain:
        winners = vote_among(run.answering(), run.samples, run.task, totals)[1] or winners
    chosen = max(
        winners if weighted and winners else run.answering() or _answered(run),
        key=lambda number: (totals[number], not run.samples[number].failed, -number),
        default=None,
    )
    return run.solution(
        "best-of-n",
        chosen,
        settings,
        votes=votes,
        scores=totals,
        values=() if chosen is None else values[chosen],
        scorer=scorer,
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
    if not scores:
        return [[] for _ in run.samples]
    return [[next(remaining).values[0] for _ in sample.steps] for sample in run.samples]


def _answered(run: Run) -> list[int]:
    """The samples that have an answer; all of them when none has."""
    numbers = range(len(run.samples))
    return [n for n in numbers if run.samples[n].answer is not None] or list(numbers)
