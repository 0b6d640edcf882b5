"""The steps of one question while rollouts are counted: equal prefixes are one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_qstar.protocols import State, Step
from langchain_qstar.training.label_file import LabelledQuestion, LabelledStep

QUESTION = -1
"""The number of the state before any step."""


@dataclass(slots=True)
class StepTree:
    """Grows by trajectories; knows how many rollouts came by each step.

    Attributes:
        root: The state of the question.
        tokens: Generated for the question so far.
        completions: Drawn for the question so far.
    """

    root: State
    tokens: int = 0
    completions: int = 0
    steps: list[Step] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    ends: set[int] = field(default_factory=set)
    counts: list[list[int]] = field(default_factory=list)
    _numbers: dict[tuple[int, str], int] = field(default_factory=dict)

    def add(self, parent: int, step: Step, *, ends: bool = False) -> int:
        """The number of `step` after step `parent`, new or known."""
        key = (parent, step.text)
        if key not in self._numbers:
            self._numbers[key] = len(self.steps)
            self.steps.append(step)
            self.parents.append(parent)
            self.counts.append([0, 0])
        number = self._numbers[key]
        if ends:
            self.ends.add(number)
        return number

    def extend(self, parent: int, steps: Sequence[Step], *, ends: bool) -> list[int]:
        """Add a trajectory after `parent`; the numbers of its steps."""
        numbers: list[int] = []
        for place, step in enumerate(steps, start=1):
            parent = self.add(parent, step, ends=ends and place == len(steps))
            numbers.append(parent)
        return numbers

    def count(self, numbers: Sequence[int], *, right: bool, times: int = 1) -> None:
        """One more rollout by each of these steps."""
        for number in numbers:
            self.counts[number][0] += times * right
            self.counts[number][1] += times

    def forget(self) -> list[int]:
        """Uncount the rollouts by all steps but last ones; the numbers of those steps."""
        inner = [number for number in range(len(self.steps)) if number not in self.ends]
        for number in inner:
            self.counts[number] = [0, 0]
        return inner

    def path(self, number: int) -> list[int]:
        """The numbers of the steps that lead to step `number`, itself last."""
        found: list[int] = []
        while number != QUESTION:
            found.append(number)
            number = self.parents[number]
        return found[::-1]

    def state(self, number: int, *, texts_only: bool = False) -> State:
        """The state after step `number`; `texts_only` for a model with other tokens."""
        steps = (self.steps[each] for each in self.path(number))
        if texts_only:
            steps = (Step(each.text) for each in steps)
        return State(self.root.question, self.root.messages, tuple(steps))

    def labelled(self) -> LabelledQuestion:
        """What is known, as a line of a file."""
        rows = zip(self.parents, self.steps, self.counts, strict=True)
        return LabelledQuestion(
            self.root.question,
            tuple(
                LabelledStep(
                    parent,
                    step.text,
                    step.token_ids,
                    tuple(round(value, 4) for value in step.logprobs),
                    number in self.ends,
                    right,
                    rollouts,
                )
                for number, (parent, step, (right, rollouts)) in enumerate(rows)
            ),
            self.tokens,
            self.completions,
        )
