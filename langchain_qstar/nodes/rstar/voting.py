"""A vote: samples of one step, of which the most frequent answer wins.

With adaptive votes only as many are drawn as decide it. A vote that does not
parse cannot win, and counts in the denominator: ten samples of which four say 7
and six say nothing give 7 a confidence of 0.4 (the official code lets "no
answer" win). Ties go to the answer that came first.

Source: the official code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final

Equivalent = Callable[[str, str], bool]

SHARES: Final = (0.7, 1.0)
"""Shares of the votes that are drawn by the end of each round. At 80 % agreement the first
round decides five of six votes by ten and seven of eight by 32 samples."""

SHARES_LAST: Final = (0.8, 1.0)
"""The same where one more round keeps everything else waiting."""

SHARES_BESIDE: Final = (0.6, 0.8, 1.0)
"""The same for a vote beside another action that takes more than one round anyway."""


@dataclass(slots=True)
class Tally:
    """Votes counted so far.

    Attributes:
        wanted: How many samples the whole vote has.
        answers: The answer of each sample drawn, None if it has none.
        counts: The distinct answers, first come first, and how many samples gave each.
        firsts: The number of the first sample that gave each.
    """

    wanted: int
    answers: list[str | None] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    firsts: dict[str, int] = field(default_factory=dict)

    def add(self, answers: Sequence[str | None], same: Equivalent) -> None:
        """Count more samples."""
        for answer in answers:
            self.answers.append(answer)
            if answer is None:
                continue
            known = next((each for each in self.counts if same(each, answer)), None)
            if known is None:
                known = answer
                self.firsts[known] = len(self.answers) - 1
            self.counts[known] = self.counts.get(known, 0) + 1

    @property
    def drawn(self) -> int:
        """How many samples were drawn."""
        return len(self.answers)

    @property
    def winner(self) -> str | None:
        """The most frequent answer, the earlier of equals; None when no sample has one."""
        return max(self.counts, key=lambda each: self.counts[each], default=None)

    @property
    def confidence(self) -> float:
        """The winner's share of the samples drawn, in [0, 1]."""
        return 0.0 if self.winner is None else self.counts[self.winner] / self.drawn

    @property
    def first(self) -> int:
        """The number of the first sample with the winning answer; 0 when there is none."""
        return 0 if self.winner is None else self.firsts[self.winner]

    @property
    def is_decided(self) -> bool:
        """Whether the samples not drawn yet cannot change the winner."""
        left = self.wanted - self.drawn
        if left <= 0:
            return True
        if self.winner is None:
            return False
        order = list(self.counts)
        most, place = self.counts[self.winner], order.index(self.winner)
        rivals = [
            (count, order.index(each)) for each, count in self.counts.items() if each != self.winner
        ]
        rivals.append((0, len(order)))  # an answer that nobody has given yet
        return all(
            count + left < most or (count + left == most and place < since)
            for count, since in rivals
        )

    def due(self, shares: Sequence[float]) -> int:
        """How many samples to draw next, 0 once it is decided.

        Args:
            shares: What part of `wanted` is to be drawn by the end of each round, ascending.
        """
        if self.is_decided:
            return 0
        goals = (ceil(share * self.wanted) for share in shares)
        return next((goal for goal in goals if goal > self.drawn), self.wanted) - self.drawn
