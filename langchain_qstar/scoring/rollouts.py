"""Scorers that let a policy go on from a step, and look at where it comes out.

There is no gold answer at inference, so a rollout is judged by agreement with the others
or by another scorer. The tokens they generate count.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final

from langchain_qstar.errors import SettingsError
from langchain_qstar.models.steps import split_steps
from langchain_qstar.protocols import (
    Completion,
    Policy,
    SampleRequest,
    ScoreRequest,
    Scores,
    State,
    Step,
    Task,
)
from langchain_qstar.seeds import question_seed, sample_seed
from langchain_qstar.spending.drawing import adraw, draw
from langchain_qstar.stepping.solutions import solution_end

_PLACE: Final = "rollout of "


class _SamplingScorer(ABC):
    """Values from fresh samples of the policy, all of them drawn as one batch.

    Where a budget leaves fewer samples (`spending`), values are those of what was drawn, and
    whoever asked does not use them.
    """

    def __init__(
        self, policy: Policy, task: Task, *, n: int, temperature: float, seed: int
    ) -> None:
        _check(n, temperature)
        self._policy, self._task = policy, task
        self._n, self._temperature, self._seed = n, temperature, seed

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Score all candidates; their samples are one batch.

        Raises:
            ModelError: The policy failed.
        """
        return self._scores(requests, draw(self._policy, self._asked(requests)))

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, without blocking the event loop."""
        return self._scores(requests, await adraw(self._policy, self._asked(requests)))

    @abstractmethod
    def _asked(self, requests: Sequence[ScoreRequest]) -> list[SampleRequest]:
        """What is sampled."""

    @abstractmethod
    def _scores(
        self, requests: Sequence[ScoreRequest], drawn: Sequence[list[Completion]]
    ) -> list[Scores]:
        """What the samples say."""


class RolloutScorer(_SamplingScorer):
    """The share of a step's rollouts that end in the answer most rollouts end in.

    The vote is held among all rollouts of one request, that is over all candidates of a
    state, so candidates are compared by how surely they lead to the favourite answer.
    Rollouts without an answer vote for none and count against their step.

    Source: rStar (arXiv 2408.06195), section 3.2, self-consistency as the value of a node.
    """

    def __init__(
        self, policy: Policy, task: Task, *, n: int = 4, temperature: float = 0.8, seed: int = 0
    ) -> None:
        """Roll out with `policy`, `n` times a step.

        Raises:
            SettingsError: `n` is below 1 or the temperature not above 0.
        """
        super().__init__(policy, task, n=n, temperature=temperature, seed=seed)

    @property
    def name(self) -> str:
        """A short name for reports."""
        return f"rollouts:{self._n}"

    def _asked(self, requests: Sequence[ScoreRequest]) -> list[SampleRequest]:
        """One request per candidate; one that is a whole solution is not continued."""
        return [
            SampleRequest(
                state,
                tuple(
                    sample_seed(question_seed(self._seed, state.question), _PLACE + state.text, i)
                    for i in range(self._n)
                ),
                stop=(),
                max_tokens=self._task.solution_tokens,
                temperature=self._temperature,
                ends=solution_end(self._task, state.text),
                thinks=self._task.thinks,
            )
            for state in (r.state.then(step) for r in requests for step in r.steps)
            if not self._task.is_terminal(state.text)
        ]

    def _scores(
        self, requests: Sequence[ScoreRequest], drawn: Sequence[list[Completion]]
    ) -> list[Scores]:
        rest = iter(drawn)
        return [self._scored(request, rest) for request in requests]

    def _scored(self, request: ScoreRequest, rest: Iterator[list[Completion]]) -> Scores:
        answers: list[list[str | None]] = []
        used: list[Completion] = []
        for step in request.steps:
            state = request.state.then(step)
            if self._task.is_terminal(state.text):
                answers.append([self._task.read(state.text)[0]] * self._n)
                continue
            group = next(rest)
            used += group
            answers.append([self._answer(state, each) for each in group])
        favourite = self._favourite([answer for each in answers for answer in each])
        return Scores(
            tuple(self._agreement(each, favourite) for each in answers),
            completions=len(used),
            generated_tokens=sum(each.generated for each in used),
            read_tokens=sum(each.prompt_tokens for each in used),
        )

    def _answer(self, state: State, completion: Completion) -> str | None:
        text = state.text
        for step in split_steps(completion, self._task):
            text += step.text
            if self._task.is_terminal(text):
                return self._task.read(text)[0]
        ended = completion.finish == "eos" and completion.text.strip()
        return self._task.read(text)[0] if ended else None

    def _favourite(self, answers: Sequence[str | None]) -> str | None:
        """The answer with most equivalents; the first among equals."""
        stated = [answer for answer in answers if answer is not None]
        same = self._task.equivalent
        return max(stated, key=lambda a: sum(same(a, b) for b in stated), default=None)

    def _agreement(self, answers: Sequence[str | None], favourite: str | None) -> float:
        if favourite is None:
            return 0.0
        same = [a is not None and self._task.equivalent(a, favourite) for a in answers]
        return sum(same) / len(same) if same else 0.0


class RederivationScorer(_SamplingScorer):
    """The share of fresh samples of a state that find out what the step found out.

    The policy takes the step again, `n` times; a sample agrees when it leads to the same
    state (`Task.canonical`), in whatever words. It is a utility R_P that sees slips: a
    wrong line is seldom found twice.

    Source: Weng et al., "Large Language Models are Better Reasoners with
    Self-Verification", 2023.
    """

    def __init__(
        self, policy: Policy, task: Task, *, n: int = 4, temperature: float = 0.6, seed: int = 0
    ) -> None:
        """Sample `n` steps of every state with `policy`.

        Raises:
            SettingsError: `n` is below 1 or the temperature not above 0.
        """
        super().__init__(policy, task, n=n, temperature=temperature, seed=seed)

    @property
    def name(self) -> str:
        """A short name for reports."""
        return f"rederivation:{self._n}"

    def _asked(self, requests: Sequence[ScoreRequest]) -> list[SampleRequest]:
        return [
            SampleRequest(
                request.state,
                tuple(
                    sample_seed(
                        question_seed(self._seed, request.state.question),
                        f"again {request.state.text}",
                        i,
                    )
                    for i in range(self._n)
                ),
                stop=self._task.stop if self._task.step_end is None else (),
                max_tokens=self._task.step_tokens,
                temperature=self._temperature,
                ends=self._task.step_end,
                thinks=self._task.thinks,
            )
            for request in requests
        ]

    def _scores(
        self, requests: Sequence[ScoreRequest], drawn: Sequence[list[Completion]]
    ) -> list[Scores]:
        return [self._scored(*pair) for pair in zip(requests, drawn, strict=True)]

    def _scored(self, request: ScoreRequest, drawn: Sequence[Completion]) -> Scores:
        again = [self._key(request.state, Step(each.text)) for each in drawn]
        values = (again.count(self._key(request.state, step)) for step in request.steps)
        return Scores(
            tuple(value / max(1, len(again)) for value in values),
            completions=len(drawn),
            generated_tokens=sum(each.generated for each in drawn),
            read_tokens=sum(each.prompt_tokens for each in drawn),
        )

    def _key(self, state: State, step: Step) -> str:
        return self._task.canonical(state.then(step).text).strip()


def _check(n: int, temperature: float) -> None:
    if n < 1:
        raise SettingsError(f"n is {n}; draw at least 1 rollout")
    if not temperature > 0:
        raise SettingsError(f"temperature is {temperature}; it must be above 0")
