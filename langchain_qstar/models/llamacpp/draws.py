"""The same draws as `transformers/draws.py`, in numpy: for models whose logits come to the host.

The logits of a large vocabulary are looked at once; all further work is on the tokens
that can be drawn at all, within `REACH` nats of the best one. What is left out has a
probability of less than 1e-8 together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from langchain_qstar.models.engine.backend import Bools, Floats, Ints, Sampling, Start
from langchain_qstar.protocols import Likeliest

REACH: Final = 30.0
"""Nats below the best token, at temperature 1 or less, where tokens stop to count."""

_FEW: Final = 256
"""Most probable tokens that are looked at first where the rest is likely to be cut off."""

Words: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
Doubles: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


def _mix(x: Words) -> Words:
    """The splitmix64 finaliser, modulo 2**64; see `transformers/drawing.py`."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


def uniforms(seeds: Words, positions: Words) -> Doubles:
    """One uniform number in [0, 1) per seed and position; equal to `drawing.uniforms`."""
    counter = (positions + np.uint64(1)) * _GAMMA
    mixed = _mix(_mix(seeds + _GAMMA) + counter) >> np.uint64(11)
    return mixed.astype(np.float64) * 2.0**-53


@dataclass(frozen=True, slots=True)
class _Likely:
    """The tokens of each row that may be drawn, rows one after the other.

    `rows`, `tokens` and `logits` are theirs; those of row i begin at `starts[i]`.
    """

    rows: Ints
    tokens: Ints
    logits: Floats
    starts: Ints

    @classmethod
    def among(cls, logits: Floats, reach: Floats) -> _Likely:
        peaks = logits.max(axis=1)
        rows, tokens = np.nonzero(logits >= (peaks - reach)[:, None])
        starts = np.searchsorted(rows, np.arange(len(logits)))
        return cls(rows, tokens, logits[rows, tokens], starts)

    def row(self, number: int) -> slice:
        """Where a row's tokens are."""
        ends = [*self.starts[1:], len(self.rows)]
        return slice(int(self.starts[number]), int(ends[number]))


class HostDraws:
    """Draws the next token of every branch, each by its own settings and seed."""

    def __init__(self) -> None:
        """Start without branches."""
        self._samplings: list[Sampling] = []
        self._seen: list[list[int] | None] = []
        self._positions: list[int] = []

    def join(self, starts: Sequence[Start]) -> None:
        """Add branches."""
        for start in starts:
            for each in start.samplings:
                penalised = each.repetition_penalty != 1.0
                self._seen.append(start.leaf.ids() if penalised else None)
                self._samplings.append(each)
                self._positions.append(0)
        self._arrange()

    def _arrange(self) -> None:
        samplings = self._samplings
        low = [each.seed & (2**64 - 1) for each in samplings]
        self._seeds = np.array(low, dtype=np.uint64)
        self._temperature = np.array([each.temperature for each in samplings], dtype=np.float32)
        self._reach: Floats = np.float32(REACH) * np.maximum(self._temperature, np.float32(1.0))
        self._truncated = [
            number
            for number, each in enumerate(samplings)
            if each.top_p < 1 or each.top_k > 0 or each.min_p > 0
        ]

    def draw(self, logits: Floats, allowed: Mapping[int, Bools]) -> tuple[list[int], list[float]]:
        """Tokens and their natural-log probabilities under the untempered model.

        Args:
            logits: float32 [branches, vocabulary].
            allowed: See `Backend.draw`.
        """
        scored = self._scored(logits, allowed)
        likely = _Likely.among(scored, self._reach)
        tokens = self._drawn(scored, likely)
        if scored is not logits:
            likely = _Likely.among(logits, self._reach)
        return tokens.tolist(), _logprobs(logits, tokens, likely).tolist()

    def _scored(self, logits: Floats, allowed: Mapping[int, Bools]) -> Floats:
        """The logits with penalties, and without the tokens that a grammar forbids."""
        penalised = [row for row, seen in enumerate(self._seen) if seen is not None]
        if not penalised and not allowed:
            return logits
        logits = logits.copy()
        for row in penalised:
            seen = sorted(set(self._seen[row] or ()))
            values, penalty = logits[row, seen], self._samplings[row].repetition_penalty
            logits[row, seen] = np.where(values > 0, values / penalty, values * penalty)
        for row, tokens in allowed.items():
            logits[row, ~tokens] = -np.inf
        return logits

    def _drawn(self, logits: Floats, likely: _Likely) -> Ints:
        """Inverts the cumulative distribution of every row; see `drawing.draw`."""
        scaled = likely.logits / np.maximum(self._temperature, np.float32(1e-6))[likely.rows]
        scaled -= np.maximum.reduceat(scaled, likely.starts)[likely.rows]
        mass = np.exp(scaled)
        for number in self._truncated:
            _truncate(mass[likely.row(number)], self._samplings[number])
        cumulative = np.concatenate([[0.0], mass.cumsum(dtype=np.float64)])
        before, after = cumulative[likely.starts], cumulative[[*likely.starts[1:], len(mass)]]
        positions = np.array(self._positions, dtype=np.uint64)
        target = before + uniforms(self._seeds, positions) * (after - before)
        last = np.array([*likely.starts[1:], len(mass)]) - 1
        found = np.minimum(np.searchsorted(cumulative[1:], target, side="right"), last)
        best: Ints = logits.argmax(axis=1)
        return np.where(self._temperature > 0, likely.tokens[found], best)

    def advance(self, tokens: Sequence[int]) -> None:
        """Every branch has read a token."""
        self._positions = [position + 1 for position in self._positions]
        for seen, token in zip(self._seen, tokens, strict=True):
            if seen is not None:
                seen.append(token)

    def keep(self, numbers: Sequence[int]) -> None:
        """Keep these branches."""
        self._samplings = [self._samplings[number] for number in numbers]
        self._seen = [self._seen[number] for number in numbers]
        self._positions = [self._positions[number] for number in numbers]
        self._arrange()


def likeliest_of(logits: Floats, counts: Mapping[int, int]) -> dict[int, Likeliest]:
    """See `Backend.likeliest`; `logits` [branches, vocabulary]."""
    found: dict[int, Likeliest] = {}
    for number, count in counts.items():
        row = logits[number]
        kept = np.argpartition(-row, min(count, len(row)) - 1)[:count]
        best = kept[np.argsort(-row[kept], kind="stable")]
        values = logprobs_of(np.broadcast_to(row, (len(best), len(row))), best.tolist())
        found[number] = tuple(zip(best.tolist(), values.tolist(), strict=True))
    return found


def logprobs_of(logits: Floats, tokens: Sequence[int]) -> Floats:
    """Natural-log probabilities of `tokens` [n] under `logits` [n, vocabulary]."""
    reach = np.full(len(logits), REACH, dtype=np.float32)
    return _logprobs(logits, np.asarray(tokens), _Likely.among(logits, reach))


def _logprobs(logits: Floats, tokens: Ints, likely: _Likely) -> Floats:
    peaks = np.maximum.reduceat(likely.logits, likely.starts)
    mass = np.add.reduceat(np.exp(likely.logits - peaks[likely.rows]), likely.starts)
    chosen: Floats = logits[np.arange(len(tokens)), tokens]
    return chosen - peaks - np.log(mass)


def _truncate(mass: Floats, sampling: Sampling) -> None:
    """Set to zero, in place, what `sampling` cuts off a row; see `drawing.Truncation`."""
    total = mass.sum()
    few = sampling.top_k if 0 < sampling.top_k < len(mass) else min(_FEW, len(mass))
    order = _largest(mass, few)
    if sampling.top_k == 0 and mass[order].sum() < sampling.top_p * total:
        order = _largest(mass, len(mass))
    probabilities = mass[order] / total
    kept = (probabilities.cumsum() - probabilities < sampling.top_p) & (
        probabilities >= sampling.min_p * probabilities[0]
    )
    kept[0] = True
    stays = order[kept]
    values = mass[stays]
    mass[:] = 0.0
    mass[stays] = values


def _largest(mass: Floats, count: int) -> Ints:
    """The places of the `count` largest, the largest first, of equal ones the first."""
    places: Ints = np.arange(len(mass))
    if count < len(mass):
        (places,) = np.nonzero(mass >= np.partition(mass, -count)[-count])
    return places[np.argsort(-mass[places], kind="stable")][:count]
