"""What the baselines share: drawing whole solutions, voting, and the result.

A method is a generator that yields the work it wants done and is sent the
results, so that it is written once and driven from sync and async code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from langchain_qstar.errors import SettingsError
from langchain_qstar.models.steps import split_steps
from langchain_qstar.nodes.root import check_images, check_question
from langchain_qstar.protocols import (
    Completion,
    Image,
    Policy,
    SampleRequest,
    ScoreRequest,
    Scores,
    State,
    Step,
    StepScorer,
    Task,
)
from langchain_qstar.seeds import sample_seed
from langchain_qstar.solution import Solution, SolutionStep, Stopped, Usage, Vote
from langchain_qstar.tree import ROOT


@dataclass(frozen=True, slots=True)
class Sampling:
    """Work: sample these requests, and send the completions back."""

    requests: list[SampleRequest]


@dataclass(frozen=True, slots=True)
class Scoring:
    """Work: score these requests, and send the `Scores` back."""

    scorer: StepScorer
    requests: list[ScoreRequest]


Method: TypeAlias = Generator[Sampling | Scoring, Any, Solution]
"""A method in progress: yields work, is sent its results, returns a solution."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sampled solution: its steps, and its answer if it states one."""

    steps: tuple[Step, ...]
    answer: str | None


@dataclass(slots=True)
class Run:
    """One question under way: what was drawn, and what it cost so far."""

    question: str
    policy: Policy
    task: Task
    seed: int
    images: Sequence[Image] = ()
    samples: list[Sampled] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    stopped: Stopped = "complete"
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Check the question.

        Raises:
            QuestionError: It is not text, blank, binary, or too long.
        """
        check_images(self.images, self.policy)
        check_question(self.question, self.policy, self.task, shown=bool(self.images))

    @property
    def root(self) -> State:
        """The state in which solutions start."""
        messages = self.task.messages(self.question)
        return State(self.question, messages, images=tuple(self.images))

    def draw(
        self, n: int, temperature: float, max_tokens: int | None
    ) -> Generator[Sampling, list[list[Completion]], None]:
        """Draw `n` whole solutions, fewer when the token budget ends first.

        The budget is never exceeded: samples are drawn in rounds in which each
        may use its share of what is left.

        Args:
            n: Solutions wanted, at least 1.
            temperature: 0 is greedy.
            max_tokens: Most tokens generated in all, or None.

        Raises:
            SettingsError: A value is out of range.
        """
        _check(n, temperature, max_tokens)
        while len(self.samples) < n:
            wanted, limit = n - len(self.samples), self.task.solution_tokens
            if max_tokens is not None:
                left = max_tokens - self.usage.completion_tokens
                if left <= 0:
                    self.stopped = "tokens"
                    return
                wanted = max(1, min(wanted, left // limit))
                limit = min(limit, left)
            first = len(self.samples)
            seeds = [sample_seed(self.seed, ROOT, first + i) for i in range(wanted)]
            request = SampleRequest(
                self.root, tuple(seeds), stop=(), max_tokens=limit, temperature=temperature
            )
            (completions,) = yield Sampling([request])
            self._add(completions, cut=limit < self.task.solution_tokens)

    def _add(self, completions: list[Completion], *, cut: bool) -> None:
        for completion in completions:
            steps = split_steps(completion, self.task, self.policy)
            text = "".join(step.text for step in steps)
            done = self.task.is_terminal(text)
            self.samples.append(Sampled(steps, self.task.answer(text) if done else None))
            if cut and completion.finish == "length":
                self.stopped = "tokens"
        self.usage = _sum_usage(self.usage, completions)

    def spend(self, scores: Sequence[Scores]) -> None:
        """Add what a scorer itself cost."""
        self.usage = self.usage.model_copy(
            update={
                "calls": self.usage.calls + 1,
                "completions": self.usage.completions + sum(s.completions for s in scores),
                "completion_tokens": self.usage.completion_tokens
                + sum(s.generated_tokens for s in scores),
                "prompt_tokens": self.usage.prompt_tokens + sum(s.read_tokens for s in scores),
            }
        )

    def solution(
        self,
        method: str,
        chosen: int | None,
        settings: dict[str, Any],
        *,
        votes: Sequence[Vote] = (),
        values: Sequence[float] = (),
        scorer: StepScorer | None = None,
    ) -> Solution:
        """The result whose path is the sample number `chosen`.

        Args:
            method: Name of the method.
            chosen: Which sample is the path, None for none.
            settings: What the method was called with.
            votes: The vote, heaviest first, if there was one.
            values: The score of each step of the path, if any.
            scorer: Who scored.
        """
        sample = Sampled((), None) if chosen is None else self.samples[chosen]
        scored = [*values, *[None] * (len(sample.steps) - len(values))]
        return Solution(
            question=self.question,
            images=tuple(dict(each) for each in self.images),
            answer=sample.answer,
            method=method,
            steps=tuple(
                SolutionStep(text=step.text, action=step.action, q=q)
                for step, q in zip(sample.steps, scored, strict=True)
            ),
            votes=tuple(votes),
            unparsed=sum(sample.answer is None for sample in self.samples),
            usage=self.usage,
            stopped=self.stopped,
            seconds=time.monotonic() - self.started,
            settings=settings,
            policy=self.policy.name,
            q_model=None if scorer is None else scorer.name,
            task=self.task.name,
            prompts=self.task.prompts,
            seed=self.seed,
        )


def vote(
    samples: Sequence[Sampled], task: Task, weights: Sequence[float] | None = None
) -> tuple[list[Vote], list[int]]:
    """Sum the weights of equivalent answers.

    Args:
        samples: Those without an answer do not vote.
        task: Says which answers are equivalent.
        weights: Not negative; one per sample; default 1 each.

    Returns:
        The votes, heaviest first (the earlier drawn first among equals), and
        the numbers of the samples that voted for the first.
    """
    weights = [1.0] * len(samples) if weights is None else weights
    groups: list[list[int]] = []
    for number, sample in enumerate(samples):
        if sample.answer is None:
            continue
        for group in groups:
            if task.equivalent(str(samples[group[0]].answer), sample.answer):
                group.append(number)
                break
        else:
            groups.append([number])
    total = sum(weights[number] for group in groups for number in group)
    groups.sort(key=lambda group: -sum(weights[number] for number in group))
    votes = [
        Vote(
            answer=str(samples[group[0]].answer),
            count=len(group),
            weight=sum(weights[number] for number in group) / total if total else 0.0,
        )
        for group in groups
    ]
    return votes, groups[0] if groups else []


def drive(method: Method, policy: Policy) -> Solution:
    """Run a method to its end, blocking."""
    try:
        work = next(method)
        while True:
            if isinstance(work, Sampling):
                work = method.send(policy.sample(work.requests))
            else:
                work = method.send(work.scorer.score(work.requests))
    except StopIteration as end:
        solution: Solution = end.value
        return solution


async def adrive(method: Method, policy: Policy) -> Solution:
    """Run a method to its end without blocking the event loop."""
    try:
        work = next(method)
        while True:
            if isinstance(work, Sampling):
                work = method.send(await policy.asample(work.requests))
            else:
                work = method.send(await work.scorer.ascore(work.requests))
    except StopIteration as end:
        solution: Solution = end.value
        return solution


def _check(n: object, temperature: object, max_tokens: object) -> None:
    if not isinstance(n, int) or n < 1:
        raise SettingsError(f"n is {n!r}; draw at least 1 solution")
    if not isinstance(temperature, (int, float)) or not 0 <= temperature < math.inf:
        raise SettingsError(f"temperature is {temperature!r}; it must be a number from 0 up")
    if max_tokens is not None and (not isinstance(max_tokens, int) or max_tokens < 1):
        raise SettingsError(f"max_tokens is {max_tokens!r}; allow at least 1 token")


def _sum_usage(usage: Usage, completions: Sequence[Completion]) -> Usage:
    return Usage(
        calls=usage.calls + 1,
        completions=usage.completions + len(completions),
        prompt_tokens=usage.prompt_tokens + sum(c.prompt_tokens for c in completions),
        completion_tokens=usage.completion_tokens + sum(c.generated for c in completions),
        reused_tokens=usage.reused_tokens + sum(c.reused_tokens for c in completions),
    )
