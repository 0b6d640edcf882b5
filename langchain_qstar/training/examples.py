"""From labelled questions to what a value network learns: targets and held-out problems."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from langchain_qstar.protocols import ScoreRequest, Task
from langchain_qstar.training.label_file import LabelledQuestion
from langchain_qstar.training.labels import fitted_q_targets, hard_estimate, soft_estimate

Estimate = Callable[[int, int], float]

ESTIMATES: Final[dict[str, Estimate]] = {"best": hard_estimate, "mean": soft_estimate}
"""Targets that follow from counts alone, by the names that a recipe has for them."""

FITTED_Q: Final = "fitted-q"


@dataclass(frozen=True)
class Example:
    """One question as a value network sees it.

    Attributes:
        labelled: Its steps.
        task: How it was asked.
    """

    labelled: LabelledQuestion
    task: Task

    @cached_property
    def rows(self) -> list[int]:
        """The numbers of the steps that have a label."""
        return [n for n, step in enumerate(self.labelled.steps) if step.rollouts]

    @cached_property
    def requests(self) -> list[ScoreRequest]:
        """One request per row."""
        states = self.labelled.states(self.task)
        steps = self.labelled.steps
        return [ScoreRequest(states[n], (steps[n].step,)) for n in self.rows]

    @cached_property
    def solutions(self) -> list[tuple[list[int], bool]]:
        """For each whole solution the places of its steps in `rows`, and whether it is right."""
        place = {number: n for n, number in enumerate(self.rows)}
        found = []
        for number, step in enumerate(self.labelled.steps):
            path = [place[each] for each in self.labelled.path(number) if each in place]
            if step.terminal and number in place:
                found.append((path, step.reward > 0))
        return found

    @cached_property
    def rollouts(self) -> list[tuple[list[int], bool]]:
        """As `solutions`, with the rollouts that never ended or were cut, which are wrong."""
        place = {number: n for n, number in enumerate(self.rows)}
        inner = {step.parent for step in self.labelled.steps}
        found = list(self.solutions)
        for number, step in enumerate(self.labelled.steps):
            cut = not step.terminal and number not in inner and number in place
            if cut and not step.right:
                path = [place[each] for each in self.labelled.path(number) if each in place]
                found.append((path, False))
        return found

    @cached_property
    def mixed(self) -> bool:
        """Whether it has right and wrong rollouts, so that a ranking can be learnt from it."""
        return self.labelled.mixed

    def estimated(self, estimate: Estimate) -> list[float]:
        """A target per row, from the counts of all steps that lead to the same state.

        States are the same as a search takes them to be (`Task.canonical`), so that
        another wording of a step is one more observation of it.
        """
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        keys = [
            self.task.canonical(request.state.then(request.steps[0]).text).strip()
            for request in self.requests
        ]
        for key, number in zip(keys, self.rows, strict=True):
            step = self.labelled.steps[number]
            counts[key][0] += step.right
            counts[key][1] += step.rollouts
        return [estimate(*counts[key]) for key in keys]

    def fitted_q(self, values: Sequence[float], gamma: float) -> list[float]:
        """A target per row, from the last iteration's value per row."""
        steps = self.labelled.steps
        known = dict(zip(self.rows, values, strict=True))
        targets = fitted_q_targets(
            [step.reward for step in steps],
            self.labelled.successors(),
            [known.get(number, 0.0) for number in range(len(steps))],
            gamma,
        )
        return [targets[number] for number in self.rows]


def divided(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """What is learnt from, mixed questions alone, and what is held out.

    The same share of the others is held out too: a value has to mean something on questions
    that are always answered right, or never.

    Args:
        examples: At least 2 of them mixed.
        share: See `split_examples`.
        seed: See `split_examples`.
    """
    train, held = split_examples([each for each in examples if each.mixed], share, seed)
    others = [each for each in examples if not each.mixed]
    if len(others) > 1:
        held += split_examples(others, share, seed)[1]
    return train, held


def split_examples(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Train and held-out examples; a question is in one of them, whatever the order.

    Args:
        examples: At least 2, or nothing can be held out.
        share: Of the questions to hold out; at least one is, and one is not.
        seed: Another one holds out others.
    """
    ordered = sorted(examples, key=lambda example: example.labelled.question)
    random.Random(seed).shuffle(ordered)
    count = min(max(1, round(share * len(ordered))), len(ordered) - 1)
    return ordered[count:], ordered[:count]
