"""What the baselines share: drawing whole solutions within a budget, and the result."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import zip_longest
from typing import Any, Final

from langchain_qstar.baselines.budget import Budget
from langchain_qstar.baselines.driving import Aside, Sampling, Work
from langchain_qstar.baselines.sampled import Sampled, sampled
from langchain_qstar.baselines.sampling import SamplingParameters
from langchain_qstar.checks.running import StepChecks
from langchain_qstar.errors import SettingsError
from langchain_qstar.nodes.concluding import ANSWER_TOKENS
from langchain_qstar.nodes.guidance import alike
from langchain_qstar.nodes.replies import checked
from langchain_qstar.nodes.root import check_images, check_question
from langchain_qstar.protocols import (
    Completion,
    Image,
    Policy,
    SampleRequest,
    Scores,
    State,
    StepScorer,
    Task,
)
from langchain_qstar.scoring.stand_in import stood_in
from langchain_qstar.seeds import question_seed, sample_seed
from langchain_qstar.solution import Solution, SolutionStep, Stopped, Usage, Vote, unheard_line
from langchain_qstar.spending.allowance import current, now
from langchain_qstar.stepping.solutions import solution_end
from langchain_qstar.tree import ROOT
from langchain_qstar.verification.verdict import Abstain, withholds

_MISSING: Final = Completion("", finish="error")


@dataclass(slots=True)
class Run:
    """One question under way: what was drawn, and what it cost so far."""

    question: str
    policy: Policy
    task: Task
    seed: int
    images: Sequence[Image] = ()
    budget: Budget = field(default_factory=Budget)
    checks: StepChecks | None = None
    abstain: Abstain = False
    samples: list[Sampled] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    stopped: Stopped = "complete"
    started: float = field(default_factory=now)
    shortfalls: list[str] = field(default_factory=list)

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

    @property
    def own_seed(self) -> int:
        """Of this question; see `seeds.question_seed`."""
        return question_seed(self.seed, self.question)

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return now() - self.started

    def draw(self, n: int, parameters: SamplingParameters) -> Generator[Work, Any, None]:
        """Draw `n` whole solutions, fewer when the budget ends first; ask and judge them.

        Samples are drawn in rounds in which each may use its share of the tokens that
        are left. Those that ended without an answer are asked for it, together, with
        what is left then. The checks judge them all.

        Args:
            n: Solutions wanted, at least 1.
            parameters: How their tokens are drawn.

        Raises:
            SettingsError: A value is out of range.
            ModelError: The policy failed as a whole; a sample that failed is kept as one.
        """
        if type(n) is not int or n < 1:
            raise SettingsError(f"n is {n!r}; draw at least 1 solution")
        while len(self.samples) < n and not self._is_spent():
            wanted, limit = self.budget.share(
                self.usage, self._together(n - len(self.samples)), self.task.solution_tokens
            )
            first = len(self.samples)
            request = SampleRequest(
                self.root,
                tuple(sample_seed(self.own_seed, ROOT, first + i) for i in range(wanted)),
                stop=(),
                max_tokens=limit,
                ends=solution_end(self.task),
                **asdict(parameters),
            )
            (drawn,) = yield from self._sampled([request])
            self.samples += [sampled(each, self.task, self.policy) for each in drawn]
            if limit < self.task.solution_tokens and any(c.finish == "length" for c in drawn):
                self.stopped = "tokens"
        yield from self._ask()
        if self.checks is not None and self.checks.names:
            self.samples = yield Aside(partial(self._judged, self.checks))

    def _together(self, wanted: int) -> int:
        """How many samples to draw in one round; as fit at once where the time is looked at."""
        if self.budget.max_seconds is None:
            return wanted
        return min(wanted, getattr(self.policy, "full_rows", 0) or wanted)

    def _is_spent(self) -> bool:
        """Whether a budget is spent, which is why the run stops."""
        allowance = current()
        spent = self.budget.spent(self.usage, self.seconds)
        spent = spent or (None if allowance is None else allowance.cut)
        self.stopped = spent or self.stopped
        return spent is not None

    def _ask(self) -> Generator[Work, Any, None]:
        """Ask the solutions that ended without an answer for it, as many as may be."""
        asked = [
            (number, request)
            for number, sample in enumerate(self.samples)
            if (request := self._asking(number, sample)) is not None
        ]
        while asked and not self._is_spent():
            count, limit = self.budget.share(self.usage, len(asked), ANSWER_TOKENS)
            now, asked = asked[:count], asked[count:]
            requests = [_within(request, limit) for _, request in now]
            lines = yield from self._sampled(requests)
            for (number, _), (line,) in zip(now, lines, strict=True):
                self.samples[number] = self.samples[number].concluded(line, self.task)
                if limit < ANSWER_TOKENS and line.finish == "length":
                    self.stopped = "tokens"

    def _asking(self, number: int, sample: Sampled) -> SampleRequest | None:
        seed = sample_seed(self.own_seed, ROOT, number)
        return sample.asking(self.root, self.task, self.policy, seed)

    def _judged(self, checks: StepChecks) -> list[Sampled]:
        return [sample.judged(self.root, checks) for sample in self.samples]

    def _sampled(
        self, requests: list[SampleRequest]
    ) -> Generator[Work, Any, list[list[Completion]]]:
        """One completion for each seed; one that the policy leaves out has failed."""
        groups = checked((yield Sampling(requests)), len(requests), self.policy.name)
        self.usage = _sum_usage(self.usage, [each for group in groups for each in group])
        self._see_cuts()
        return [
            [
                each or _MISSING
                for _, each in zip_longest(request.seeds, group[: len(request.seeds)])
            ]
            for request, group in zip(requests, groups, strict=True)
        ]

    def _see_cuts(self) -> None:
        """Say which budget cut something short, and count what a scorer drew until then."""
        allowance = current()
        if allowance is None:
            return
        self.stopped = allowance.cut or self.stopped
        usage = self.usage
        told = (unheard_line(allowance.unheard),) if allowance.unheard else usage.shortfalls
        self.usage = usage.model_copy(
            update={
                "completions": max(usage.completions, allowance.drawn),
                "completion_tokens": max(usage.completion_tokens, allowance.drawn_tokens),
                "shortfalls": told,
            }
        )

    def answering(self) -> list[int]:
        """The numbers of the samples with an answer that would not be withheld (`abstain`)."""
        return [
            number
            for number, sample in enumerate(self.samples)
            if sample.answer is not None and not withholds(self.abstain, verified=sample.verified)
        ]

    def spend(self, scores: Sequence[Scores]) -> None:
        """Add what a scorer itself cost, and see whether a budget ended it."""
        self.usage = self.usage.model_copy(
            update={
                "calls": self.usage.calls + 1,
                "completions": self.usage.completions + sum(s.completions for s in scores),
                "completion_tokens": self.usage.completion_tokens
                + sum(s.generated_tokens for s in scores),
                "prompt_tokens": self.usage.prompt_tokens + sum(s.read_tokens for s in scores),
            }
        )
        if any(s.stood_in for s in scores):
            self.shortfalls.append(stood_in(self.policy.name))
        self._see_cuts()

    def solution(
        self,
        method: str,
        chosen: int | None,
        settings: Mapping[str, Any],
        *,
        votes: Sequence[Vote] = (),
        scores: Sequence[float] = (),
        values: Sequence[float] = (),
        scorer: StepScorer | None = None,
    ) -> Solution:
        """The result whose path is the sample number `chosen`.

        Args:
            method: Name of the method.
            chosen: Which sample is the path, None for none.
            settings: What the method was called with, beside the budget.
            votes: The vote, heaviest first, if there was one.
            scores: The score of each sample, if any.
            values: The score of each step of the path, if any.
            scorer: Who scored.
        """
        sample = Sampled((), None) if chosen is None else self.samples[chosen]
        scored = [*values, *[None] * (len(sample.steps) - len(values))]
        return Solution(
            question=self.question,
            images=tuple(dict(each) for each in self.images),
            answer=sample.answer,
            guessed=sample.guessed,
            method=method,
            steps=tuple(
                SolutionStep(text=step.text, action=step.action, q=q)
                for step, q in zip(sample.steps, scored, strict=True)
            ),
            votes=tuple(votes),
            samples=tuple(each.kept(score) for each, score in zip_longest(self.samples, scores)),
            unparsed=sum(sample.answer is None for sample in self.samples),
            usage=self.usage.model_copy(
                update={
                    "shortfalls": (
                        *self.usage.shortfalls,
                        *self.shortfalls,
                        *self._undecided(scores),
                    )
                }
            ),
            stopped=self.stopped,
            seconds=self.seconds,
            settings={**settings, **asdict(self.budget)},
            policy=self.policy.name,
            q_model=None if scorer is None else scorer.name,
            task=self.task.name,
            prompts=self.task.prompts,
            seed=self.seed,
        )

    def _undecided(self, scores: Sequence[float]) -> Iterator[str]:
        """What the samples, or their scores, leave nothing to choose by."""
        drawn = [sample for sample in self.samples if sample.text]
        if len(drawn) > 1 and len({sample.text for sample in drawn}) == 1:
            yield f"samples: all {len(drawn)} are the same text; there was nothing to choose from"
        answered = [number for number, each in enumerate(self.samples) if each.answer is not None]
        answers = {self.samples[number].answer for number in answered}
        if scores and len(answers) > 1 and alike(scores[number] for number in answered):
            yield f"scores: alike for all {len(answered)} solutions; they chose none of them"


def _within(request: SampleRequest, limit: int) -> SampleRequest:
    return replace(request, max_tokens=min(request.max_tokens, limit))


def _sum_usage(usage: Usage, completions: Sequence[Completion]) -> Usage:
    return Usage(
        calls=usage.calls + 1,
        completions=usage.completions + len(completions),
        prompt_tokens=usage.prompt_tokens + sum(c.prompt_tokens for c in completions),
        completion_tokens=usage.completion_tokens + sum(c.generated for c in completions),
        reused_tokens=usage.reused_tokens + sum(c.reused_tokens for c in completions),
    )
