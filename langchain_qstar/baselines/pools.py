"""Many sampled solutions of many questions, and what votes over them would answer.

Self-consistency and best-of-N at every N come from one pool per temperature:
sample i has the seed that `self_consistency` would give it. A pool knows no gold
answer; functions that grade take the golds beside the pools.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from langchain_qstar.baselines.sampled import Sampled, sampled
from langchain_qstar.baselines.voting import checked_vote, vote
from langchain_qstar.protocols import (
    Policy,
    SampleRequest,
    ScoreRequest,
    State,
    Step,
    StepScorer,
    Task,
)
from langchain_qstar.seeds import question_seed, sample_seed
from langchain_qstar.stepping.solutions import solution_end
from langchain_qstar.tree import ROOT


@dataclass
class Pool:
    """The sampled solutions of one question."""

    question: str
    samples: list[Sampled] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)
    """A score per step of each sample, once scored."""

    @property
    def tokens(self) -> list[int]:
        """Tokens generated for each sample."""
        return [sample.tokens for sample in self.samples]

    def right(self, gold: str, task: Task) -> list[bool]:
        """Whether each sample's answer is the gold answer."""
        return [s.answer is not None and task.equivalent(s.answer, gold) for s in self.samples]


def draw_pools(
    questions: Sequence[str],
    policy: Policy,
    task: Task,
    *,
    n: int,
    temperature: float,
    seed: int = 0,
    rows: int = 384,
    progress: Callable[[int], None] | None = None,
) -> list[Pool]:
    """Sample `n` solutions of each question, about `rows` of them at a time."""
    pools: list[Pool] = []
    size = max(1, rows // n)
    for start in range(0, len(questions), size):
        chunk = questions[start : start + size]
        requests = [_request(question, task, n, temperature, seed) for question in chunk]
        drawn = [
            Pool(question, [sampled(each, task, policy) for each in completions])
            for question, completions in zip(chunk, policy.sample(requests), strict=True)
        ]
        _conclude(drawn, requests, policy, task)
        pools += drawn
        if progress:
            progress(len(pools))
    return pools


def _request(question: str, task: Task, n: int, temperature: float, seed: int) -> SampleRequest:
    return SampleRequest(
        State(question, task.messages(question)),
        tuple(sample_seed(question_seed(seed, question), ROOT, i) for i in range(n)),
        stop=(),
        max_tokens=task.solution_tokens,
        temperature=temperature,
        ends=solution_end(task),
    )


def _conclude(
    pools: Sequence[Pool], requests: Sequence[SampleRequest], policy: Policy, task: Task
) -> None:
    """Ask the samples that ended without an answer for it, all as one batch."""
    asked = [
        (pool, number, request)
        for pool, drawn in zip(pools, requests, strict=True)
        for number, sample in enumerate(pool.samples)
        if (request := sample.asking(drawn.state, task, policy, drawn.seeds[number])) is not None
    ]
    if not asked:
        return
    lines = policy.sample([request for _, _, request in asked])
    for (pool, number, _), (line,) in zip(asked, lines, strict=True):
        pool.samples[number] = pool.samples[number].concluded(line, task)


def prefixes(pool: Pool, task: Task) -> list[list[ScoreRequest]]:
    """For each sample, one request per step, each in the state before it."""
    root = State(pool.question, task.messages(pool.question))
    result = []
    for sample in pool.samples:
        state, requests = root, []
        for step in sample.steps:
            requests.append(ScoreRequest(state, (step,)))
            state = state.then(step)
        result.append(requests)
    return result


def score_pools(pools: Sequence[Pool], scorer: StepScorer, task: Task, *, chunk: int = 16) -> None:
    """Fill in `values` of every pool."""
    for start in range(0, len(pools), chunk):
        group = [(pool, prefixes(pool, task)) for pool in pools[start : start + chunk]]
        flat = [request for _, samples in group for requests in samples for request in requests]
        scores = iter(scorer.score(flat))
        for pool, samples in group:
            pool.values = [[next(scores).values[0] for _ in requests] for requests in samples]


Choose = Callable[[Pool, int], str | None]
"""From a pool and N, the answer of a method that looks at the first N samples."""


def majority(task: Task) -> Choose:
    """Self-consistency."""

    def choose(pool: Pool, n: int) -> str | None:
        votes, _ = vote(pool.samples[:n], task)
        return votes[0].answer if votes else None

    return choose


def unfailed(task: Task, failed: Callable[[str, Step], bool]) -> Choose:
    """Checked self-consistency: see `voting.checked_vote`.

    Args:
        task: When two answers are the same.
        failed: `(question, step)`: whether a check fails the step.
    """

    def choose(pool: Pool, n: int) -> str | None:
        judged = [
            replace(s, failed=any(failed(pool.question, step) for step in s.steps))
            for s in pool.samples[:n]
        ]
        votes, _ = checked_vote(judged, task)
        return votes[0].answer if votes else None

    return choose


def best(task: Task, aggregate: Callable[[Sequence[float]], float], *, weighted: bool) -> Choose:
    """Best-of-N, or the vote weighted by the same scores."""

    def choose(pool: Pool, n: int) -> str | None:
        totals = [aggregate(v) if v else 0.0 for v in pool.values[:n]]
        if weighted:
            votes, _ = vote(pool.samples[:n], task, totals)
            return votes[0].answer if votes else None
        answered = [
            i for i in range(min(n, len(pool.samples))) if pool.samples[i].answer is not None
        ]
        if not answered:
            return None
        return pool.samples[max(answered, key=lambda i: (totals[i], -i))].answer

    return choose


def curve(
    pools: Sequence[Pool], golds: Sequence[str], task: Task, choose: Choose, sizes: Sequence[int]
) -> list[tuple[float, list[float]]]:
    """For each N: mean tokens a question, and 1 or 0 for each question."""
    points = []
    for n in sizes:
        tokens = sum(sum(pool.tokens[:n]) for pool in pools) / len(pools)
        shares = []
        for pool, gold in zip(pools, golds, strict=True):
            answer = choose(pool, n)
            shares.append(float(answer is not None and task.equivalent(answer, gold)))
        points.append((tokens, shares))
    return points


def any_right(pools: Sequence[Pool], golds: Sequence[str], task: Task, n: int) -> float:
    """Share of questions of which one of the first `n` samples is right (pass@n)."""
    right = (any(p.right(g, task)[:n]) for p, g in zip(pools, golds, strict=True))
    return sum(right) / len(pools)
