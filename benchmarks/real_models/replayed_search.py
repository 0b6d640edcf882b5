"""Q* with one sample a step, replayed from a bank of whole solutions.

Where every state after the root has one sample, the search is a choice of which solution goes on:
the bank knows how each would. So settings and scorers are compared on train questions for the
tokens of one bank. Every rotation of a question's samples is replayed, and the mean is taken.

It differs from the live search in this: first steps that are alike are not merged, and what
completes a state where nothing complete was found is its own sample and not a greedy one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import product
from statistics import mean
from typing import Any, Final

from langchain_qstar.baselines.sampled import Sampled
from langchain_qstar.checks.running import StepChecks, resolve_checks
from langchain_qstar.evaluation import banks
from langchain_qstar.evaluation.intervals import difference_figures, share_figures
from langchain_qstar.evaluation.replay import Drawn, checked_vote, drawn
from langchain_qstar.protocols import State, Task
from langchain_qstar.settings import QStarSettings
from real_models.candidates import CANDIDATES, Asked, Candidate, Tried
from real_models.replays import within

SCORERS: Final = {
    name: CANDIDATES[name] for name in ("path", "last_step", "step_mean", "surprises")
}
"""Of `CANDIDATES` those that look at one path alone, as here."""
BIASES: Final = (0.0, 0.05, 0.2)
SHARE: Final[float] = QStarSettings.model_fields["completion_share"].default


@dataclass(frozen=True, slots=True)
class Path:
    """A solution as the search comes to know it, step by step.

    Attributes:
        tokens: Of each step, above 0; what ends the solution counts with the last.
        values: Of the path up to each step.
        failed: The step that a check refutes, and with it the path; None for none.
        drawn: The whole.
    """

    tokens: tuple[int, ...]
    values: tuple[float, ...]
    failed: int | None
    drawn: Drawn


def paths_of(
    asked: banks.Asked, task: Task, checks: StepChecks, candidate: Candidate
) -> list[Path]:
    """The solutions of a question as it reads today, each step with its value and its cost."""
    found = [each for each in drawn(asked, task) if each.kept.steps]
    tried = tuple(Tried(each.kept.steps, each.sample.answer, each.right) for each in found)
    values = candidate(Asked(asked.question, tried))
    return [
        Path(_tokens(each.kept), tuple(value), _failed(each, asked.question, checks), each)
        for each, value in zip(found, values, strict=True)
    ]


def _tokens(kept: banks.Kept) -> tuple[int, ...]:
    own = [max(1, len(step.logprobs)) for step in kept.steps]
    own[-1] += max(0, kept.tokens - sum(own))
    return tuple(own)


def _failed(each: Drawn, question: str, checks: StepChecks) -> int | None:
    if not each.sample.failed:
        return None
    steps = each.kept.steps
    lengths = range(1, len(steps) + 1)
    judged = (Sampled(steps[:n], None).judged(State(question), checks).failed for n in lengths)
    return next((n for n, failed in enumerate(judged) if failed), len(steps) - 1)


class Search:
    """A best-first search over some paths, at most so many tokens."""

    def __init__(self, paths: Sequence[Path], roots: int, bias: float, cap: int) -> None:
        self.cap, self.bias = cap, bias
        self.spent = 0
        self.open: list[tuple[float, int, int]] = []
        self.paths = paths[:roots]
        self.found: list[Drawn] = []
        for number in range(len(self.paths)):
            self._draw(number, 0)

    def run(self) -> list[Drawn]:
        """The solutions that were popped; with none, the best one that could be completed."""
        while self.open and self.spent < self._limit():
            _, number, place = heappop(self.open)
            if self._is_whole(number, place):
                self.found.append(self.paths[number].drawn)
            else:
                self._draw(number, place + 1)
        if not self.found and self.open:
            _, number, place = self.open[0]
            while not self._is_whole(number, place) and self._draw(number, place + 1):
                place += 1
            if self._is_whole(number, place):
                self.found.append(self.paths[number].drawn)
        return self.found

    def _limit(self) -> float:
        whole = any(self._is_whole(number, place) for _, number, place in self.open)
        return self.cap if self.found or whole else (1 - SHARE) * self.cap

    def _is_whole(self, number: int, place: int) -> bool:
        return place == len(self.paths[number].tokens) - 1

    def _draw(self, number: int, place: int) -> bool:
        path = self.paths[number]
        self.spent += path.tokens[place]
        if self.spent > self.cap:
            self.spent = self.cap
            return False
        if path.failed == place:
            return False
        heappush(self.open, (-path.values[place] - self.bias * (place + 1), number, place))
        return True


def compared(
    bank: banks.Bank,
    task: Task,
    cap: int,
    *,
    scorers: Mapping[str, Candidate] = SCORERS,
    roots: Sequence[int] = (),
    biases: Sequence[float] = BIASES,
) -> dict[str, Any]:
    """The share right, the tokens and the difference to the checked vote, of every setting.

    A setting is called `SCORER_ROOTS_BIAS`: first steps, as many as trajectories are collected at
    most, and `depth_bias`.

    Args:
        bank: Solutions drawn a step at a time.
        task: What reads them.
        cap: Tokens of a question.
        scorers: What values steps, by name.
        roots: First steps; by default from half of the samples that the bank has to all.
        biases: Of depth.
    """
    checks = resolve_checks(None, task)
    read = [banks.reread(each, task) for each in bank.questions]
    votes = [_voted(each, task, cap) for each in read]
    figures = _shown("vote", [right for right, _ in votes], [spent for _, spent in votes])
    settings = [*product(roots or range((bank.size + 1) // 2, bank.size + 1), biases)]
    for scorer, candidate in scorers.items():
        paths = [paths_of(each, task, checks, candidate) for each in read]
        for count, bias in settings:
            done = [_searched(each, count, bias, cap) for each in paths]
            right = [share for share, _ in done]
            name = f"{scorer}_{count}_{bias:g}"
            figures |= _shown(name, right, [spent for _, spent in done])
            voted = [share for share, _ in votes]
            figures |= difference_figures(f"{name}_minus_vote", right, voted)
    return figures


def _shown(name: str, right: Sequence[float], spent: Sequence[float]) -> dict[str, float]:
    return share_figures(name, right) | {f"tokens_{name}": mean(spent)}


def _voted(asked: banks.Asked, task: Task, cap: int) -> tuple[float, float]:
    done = []
    for samples in _rotations(asked.samples):
        kept, spent = within(banks.Asked(asked.id, asked.question, asked.gold, samples), cap)
        done.append((_is_right(checked_vote(drawn(kept, task))), spent))
    return mean(right for right, _ in done), mean(spent for _, spent in done)


def _searched(paths: Sequence[Path], roots: int, bias: float, cap: int) -> tuple[float, float]:
    done = []
    for turned in _rotations(tuple(paths)):
        search = Search(turned, roots, bias, cap)
        done.append((_is_right(checked_vote(search.run())), search.spent))
    return mean(right for right, _ in done), mean(spent for _, spent in done)


def _rotations(items: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return [items[at:] + items[:at] for at in range(len(items))] or [()]


def _is_right(chosen: Drawn | None) -> float:
    return float(chosen is not None and chosen.right)
