"""Drawing tokens so that a result depends on its seed and nothing else.

Each (seed, position) pair gives one uniform number by a counter-based hash, and
a token is drawn from it by inverting the cumulative distribution. No generator
state exists, so the batch a row happens to sit in cannot change its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

_GAMMA: Final = 0x9E3779B97F4A7C15 - 2**64
_MIX_1: Final = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2: Final = 0x94D049BB133111EB - 2**64


_BLOCK: Final = 256
"""Tokens that are added up before they are looked at one by one."""

SORTED: Final = 16384
"""Tokens of a vocabulary that a CPU sorts as a whole; of a larger one those that may be kept."""

_WIDER: Final = 1e-2
"""By this factor less probable tokens are looked at, when those so far do not tell where a
truncation cuts."""

_MARGIN: Final = 1e-4
"""Of the mass, beyond `top_p`: sums are rounded."""

_NOTHING: Final = 1e-37
"""What is less probable, relative to the most probable token, is never drawn."""


def drawing_device(device: torch.device) -> torch.device:
    """Where to draw for a model on `device`: there, if it can count in 64 bits."""
    return torch.device("cpu") if device.type == "mps" else device


def seed_tensor(seeds: Sequence[int], device: torch.device) -> torch.Tensor:
    """Seeds of any size as int64 [n], keeping their low 64 bits."""
    low = [seed & (2**64 - 1) for seed in seeds]
    signed = [seed - 2**64 if seed >= 2**63 else seed for seed in low]
    return torch.tensor(signed, dtype=torch.int64, device=device)


def _shift(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical right shift of int64, which torch shifts arithmetically."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: torch.Tensor) -> torch.Tensor:
    """The splitmix64 finaliser (Steele, Lea and Flood, OOPSLA 2014), modulo 2**64."""
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def uniforms(seeds: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """One uniform number in [0, 1) per seed, for the token at its position.

    Args:
        seeds: int64 [n], from `seed_tensor`.
        positions: int64 [n], index of the token within its completion, from 0.

    Returns:
        float64 [n], multiples of 2**-53.
    """
    # The seed is hashed before the counter is added: neighbouring seeds must
    # not give shifted copies of one sequence.
    counter = (positions + 1) * _GAMMA
    return _shift(_mix(_mix(seeds + _GAMMA) + counter), 11).to(torch.float64) * 2.0**-53


@dataclass(frozen=True, slots=True)
class Truncation:
    """What is cut off each row's distribution before a token is drawn; all [n].

    `top_p` in (0, 1] keeps the smallest set of tokens that reaches it; `top_k`
    keeps that many, 0 for all; `min_p` in [0, 1] keeps tokens at least that
    probable relative to the most probable one.
    """

    top_p: torch.Tensor
    top_k: torch.Tensor
    min_p: torch.Tensor

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """`logits` [n, vocabulary] with everything that is cut off at -inf."""
        if logits.device.type == "cpu" and logits.shape[-1] > SORTED:
            return torch.stack([self._cut(row, number) for number, row in enumerate(logits)])
        ranked, order = logits.sort(dim=-1, descending=True, stable=True)
        dropped = self.dropped(ranked.softmax(dim=-1))
        kept = ranked.masked_fill(dropped, float("-inf"))
        return torch.empty_like(logits).scatter_(1, order, kept)

    def dropped(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Which of `probabilities`, the largest first in each row, are cut off."""
        before = probabilities.cumsum(dim=-1) - probabilities
        rank = torch.arange(probabilities.shape[-1], device=probabilities.device)
        dropped = (
            (before >= self.top_p[:, None])
            | ((self.top_k[:, None] > 0) & (rank >= self.top_k[:, None]))
            | (probabilities < self.min_p[:, None] * probabilities[:, :1])
        )
        dropped[:, 0] = False
        return dropped

    def _cut(self, logits: torch.Tensor, number: int) -> torch.Tensor:
        """The same for row `number` alone, of which only the most probable tokens are sorted."""
        alone = self.part(slice(number, number + 1))
        top_p, top_k, min_p = (
            float(each) for each in (alone.top_p[0], alone.top_k[0], alone.min_p[0])
        )
        probabilities = logits.softmax(dim=-1)
        most, least = float(probabilities.max()), 1.0
        while True:
            least *= _WIDER
            tokens = (probabilities >= least * most).nonzero()[:, 0]
            found = probabilities[tokens]
            if (
                0 < top_k <= len(tokens)
                or float(found.sum()) > top_p + _MARGIN
                or least < max(min_p, _NOTHING)
            ):
                break
        ranked, order = found.sort(descending=True, stable=True)
        kept = tokens[order[~alone.dropped(ranked[None])[0]]]
        cut = torch.full_like(logits, float("-inf"))
        cut[kept] = logits[kept]
        return cut

    def part(self, rows: slice) -> Truncation:
        """What is cut off some of the rows."""
        return Truncation(self.top_p[rows], self.top_k[rows], self.min_p[rows])


def penalise(logits: torch.Tensor, row: int, seen: torch.Tensor, penalty: float) -> None:
    """Make the tokens `seen` (int64 [m]) less probable in one row of `logits`, in place.

    Positive logits are divided by `penalty`, negative ones multiplied (Keskar
    et al., "CTRL", 2019, section 4.1, with the sign rule of its later users).
    """
    values = logits[row, seen]
    logits[row, seen] = torch.where(values > 0, values / penalty, values * penalty)


def draw(
    logits: torch.Tensor,
    uniform: torch.Tensor,
    temperature: torch.Tensor,
    truncation: Truncation | None = None,
) -> torch.Tensor:
    """Draw one token per row.

    Args:
        logits: float32 [n, vocabulary].
        uniform: float64 [n] in [0, 1).
        temperature: float [n]; 0 takes the most probable token.
        truncation: None when no row truncates.

    Returns:
        The tokens, int64 [n].
    """
    scaled = logits / temperature.clamp_min(1e-6)[:, None]
    if truncation is not None:
        scaled = truncation.apply(scaled)
    drawn = _inverted(scaled.softmax(dim=-1), uniform)
    if logits.device.type == "cpu" and bool((temperature > 0).all()):
        return drawn
    return torch.where(temperature > 0, drawn, logits.argmax(dim=-1))


def _inverted(mass: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The token of every row where its cumulative `mass` passes `uniform` of all of it.

    Mass is added up in blocks, and only the block of the draw token by token: adding up a
    vocabulary of 150,000 in float64 takes longer than all else about a draw.
    """
    vocabulary = mass.shape[-1]
    whole = vocabulary // _BLOCK * _BLOCK
    sums = mass[:, :whole].reshape(len(mass), -1, _BLOCK).sum(dim=-1, dtype=torch.float64)
    if whole < vocabulary:
        rest = mass[:, whole:].sum(dim=-1, keepdim=True, dtype=torch.float64)
        sums = torch.cat([sums, rest], dim=1)
    ends = sums.cumsum(dim=-1)
    target = uniform[:, None] * ends[:, -1:]
    block = _passing(ends, target)
    before = torch.where(block > 0, ends.gather(1, (block - 1).clamp_min(0)), 0.0)
    tokens = block * _BLOCK + torch.arange(_BLOCK, device=mass.device)
    inside = mass.gather(1, tokens.clamp_max(vocabulary - 1)).masked_fill(tokens >= vocabulary, 0)
    place = _passing(inside.cumsum(dim=-1, dtype=torch.float64), target - before)
    return (block * _BLOCK + place)[:, 0]


def _passing(cumulative: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Where each row first exceeds its target, or else where it last rises: int64 [n, 1]."""
    found = torch.searchsorted(cumulative, target, right=True)
    last = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())
    return torch.minimum(found, last)


def logprobs_of(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Natural-log probabilities of `tokens` int64 [n] under `logits` [n, vocabulary].

    Returns:
        float32 [n].
    """
    return logits.float().log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0]
