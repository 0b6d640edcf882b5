"""The same draws as `transformers/draws.py`, in numpy: for models whose logits come to the host.

A vocabulary of 150,000 tokens costs as much as a part of the model itself if it is looked at
often. So we go over it as few times as can be, over so few rows at once that they stay in the
processor's cache, and add it up in blocks: only the block in which a draw falls is looked at
token by token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from langchain_qstar.models.engine.backend import Bools, Floats, Ints, Sampling, Start
from langchain_qstar.protocols import Likeliest

Words: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
Doubles: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)

_AT_ONCE: Final = 2**17
"""Logits that are worked on together, 512 KiB of them, but at least one row."""

_BLOCK: Final = 256
"""Tokens that are added up before they are looked at one by one."""

_WIDER: Final = 1e-2
"""By this factor less probable tokens are looked at, when those so far do not tell where a
truncation cuts."""

_MARGIN: Final = 1e-4
"""Of the mass, beyond `top_p`: sums are rounded."""

_NOTHING: Final = 1e-37
"""What weighs less, relative to the most probable token, is never drawn."""


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
        low = [each.seed & (2**64 - 1) for each in self._samplings]
        self._seeds = np.array(low, dtype=np.uint64)
        temperatures = [each.temperature for each in self._samplings]
        self._temperature = np.array(temperatures, dtype=np.float32)

    def draw(
        self, logits: Sequence[Floats], allowed: Mapping[int, Bools]
    ) -> tuple[list[int], list[float]]:
        """Tokens and their natural-log probabilities under the untempered model.

        Args:
            logits: float32 [vocabulary] of every branch.
            allowed: See `Backend.draw`.
        """
        uniform = uniforms(self._seeds, np.array(self._positions, dtype=np.uint64))
        tokens: list[int] = []
        logprobs: list[float] = []
        for part in _parts(logits):
            rows = range(part.start, part.stop)
            own = _stacked(logits[part])
            drawn = self._drawn(self._scored(own, rows, allowed), rows, uniform[part])
            tokens += drawn.tolist()
            logprobs += _logprobs(own, drawn).tolist()
        return tokens, logprobs

    def _scored(self, logits: Floats, rows: range, allowed: Mapping[int, Bools]) -> Floats:
        """The logits of `rows` with penalties, and without the tokens that a grammar forbids."""
        changed = [row for row in rows if self._seen[row] is not None or row in allowed]
        if not changed:
            return logits
        logits = logits.copy()
        for row in changed:
            own, known = logits[row - rows.start], self._seen[row]
            if known is not None:
                seen, penalty = sorted(set(known)), self._samplings[row].repetition_penalty
                own[seen] = np.where(own[seen] > 0, own[seen] / penalty, own[seen] * penalty)
            if row in allowed:
                own[~allowed[row]] = -np.inf
        return logits

    def _drawn(self, logits: Floats, rows: range, uniform: Doubles) -> Ints:
        """Inverts the cumulative distribution of every row; see `drawing.draw`."""
        temperature = self._temperature[rows.start : rows.stop]
        greedy = temperature <= 0
        best: Ints = logits.argmax(axis=1) if greedy.any() else np.zeros(len(rows), np.int64)
        if greedy.all():
            return best
        mass = _masses(logits, np.maximum(temperature, np.float32(1e-6)))
        for number, row in enumerate(rows):
            if _truncates(self._samplings[row]):
                _truncate(mass[number], self._samplings[row])
        return np.where(greedy, best, _inverted(mass, uniform))

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


def likeliest_of(logits: Sequence[Floats], counts: Mapping[int, int]) -> dict[int, Likeliest]:
    """See `Backend.likeliest`; `logits` [vocabulary] of every branch."""
    found: dict[int, Likeliest] = {}
    for number, count in counts.items():
        row = logits[number]
        at = max(0, len(row) - count)
        kept = np.flatnonzero(row >= np.partition(row, at)[at])
        best = kept[np.argsort(-row[kept], kind="stable")][:count]
        found[number] = tuple(zip(best.tolist(), next_logprobs(row, best), strict=True))
    return found


def next_logprobs(logits: Floats, tokens: Sequence[int] | Ints) -> list[float]:
    """Natural-log probabilities of `tokens` under the same `logits` [vocabulary]."""
    peak, total = _peaks_and_totals(logits[np.newaxis])
    values: list[float] = (logits[np.asarray(tokens)] - peak - total).tolist()
    return values


def logprobs_of(logits: Sequence[Floats], tokens: Sequence[int]) -> list[float]:
    """Natural-log probability of each of `tokens` under its own `logits` [vocabulary]."""
    found: list[float] = []
    for part in _parts(logits):
        found += _logprobs(_stacked(logits[part]), np.asarray(tokens[part])).tolist()
    return found


def _parts(logits: Sequence[Floats]) -> Iterator[slice]:
    """Rows that are worked on together."""
    rows = max(1, _AT_ONCE // len(logits[0]))
    for start in range(0, len(logits), rows):
        yield slice(start, min(start + rows, len(logits)))


def _stacked(logits: Sequence[Floats]) -> Floats:
    """Some rows as an array [rows, vocabulary], one alone without a copy."""
    return logits[0][np.newaxis] if len(logits) == 1 else np.stack(logits)


def _masses(logits: Floats, temperature: Floats | None = None) -> Floats:
    """What each token weighs, the most probable one 1: [rows, whole blocks].

    Args:
        logits: [rows, vocabulary].
        temperature: Positive, [rows]; None for 1.
    """
    rows, vocabulary = logits.shape
    mass = np.empty((rows, -(-vocabulary // _BLOCK) * _BLOCK), dtype=np.float32)
    mass[:, vocabulary:] = 0
    inside, peaks = mass[:, :vocabulary], logits.max(axis=1)[:, np.newaxis]
    if temperature is None:
        np.subtract(logits, peaks, out=inside)
    else:
        np.divide(logits, temperature[:, np.newaxis], out=inside)
        inside -= peaks / temperature[:, np.newaxis]
    np.exp(inside, out=inside)
    return mass


def _block_sums(mass: Floats) -> Doubles:
    sums: Doubles = mass.reshape(len(mass), -1, _BLOCK).sum(axis=2, dtype=np.float64)
    return sums


def _inverted(mass: Floats, uniform: Doubles) -> Ints:
    """The token of every row where its cumulative mass passes `uniform` of all of it."""
    rows = np.arange(len(mass))
    ends = _block_sums(mass).cumsum(axis=1)
    target = uniform * ends[:, -1]
    block = _passing(ends, target)
    before = np.where(block > 0, ends[rows, block - 1], 0.0)
    tokens = mass.reshape(len(mass), -1, _BLOCK)[rows, block]
    inside = _passing(tokens.cumsum(axis=1, dtype=np.float64), target - before)
    return block * _BLOCK + inside


def _passing(cumulative: Doubles, target: Doubles) -> Ints:
    """Where each row of `cumulative` first exceeds its target, or else where it last rises."""
    found: Ints = (cumulative <= target[:, np.newaxis]).sum(axis=1)
    last: Ints = (cumulative < cumulative[:, -1:]).sum(axis=1)
    return np.minimum(found, last)


def _peaks_and_totals(logits: Floats) -> tuple[Floats, Floats]:
    """Of rows [rows, vocabulary] the largest logit, and the log of the mass relative to it."""
    totals = _block_sums(_masses(logits)).sum(axis=1)
    return logits.max(axis=1), np.log(totals).astype(np.float32)


def _logprobs(logits: Floats, tokens: Ints) -> Floats:
    peaks, totals = _peaks_and_totals(logits)
    chosen: Floats = logits[np.arange(len(tokens)), tokens]
    return chosen - peaks - totals


def _truncates(sampling: Sampling) -> bool:
    return sampling.top_p < 1 or sampling.top_k > 0 or sampling.min_p > 0


def _truncate(mass: Floats, sampling: Sampling) -> None:
    """Set to zero, in place, what `sampling` cuts off a row; see `drawing.Truncation`."""
    total = mass.sum()
    order = _heaviest(mass, sampling, float(total))
    probabilities = mass[order] / total
    dropped = (probabilities.cumsum() - probabilities >= sampling.top_p) | (
        probabilities < sampling.min_p * probabilities[0]
    )
    if sampling.top_k > 0:
        dropped[sampling.top_k :] = True
    dropped[0] = False
    kept = order[~dropped]
    values = mass[kept]
    mass[:] = 0
    mass[kept] = values


def _heaviest(mass: Floats, sampling: Sampling, total: float) -> Ints:
    """The heaviest tokens, in order, and enough of them to see where a truncation cuts.

    To sort a whole vocabulary takes longer than all else.
    """
    least = 1.0
    while True:
        least *= _WIDER
        found = np.flatnonzero(mass >= least)
        weights = mass[found]
        if (
            (0 < sampling.top_k <= len(found))
            or weights.sum() > (sampling.top_p + _MARGIN) * total
            or least < sampling.min_p
            or least < _NOTHING
        ):
            break
    order: Ints = found[np.argsort(-weights, kind="stable")]
    return order
