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
        ranked, order = logits.sort(dim=-1, descending=True, stable=True)
        probabilities = ranked.softmax(dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        rank = torch.arange(logits.shape[-1], device=logits.device)
        dropped = (
            (before >= self.top_p[:, None])
            | ((self.top_k[:, None] > 0) & (rank >= self.top_k[:, None]))
            | (probabilities < self.min_p[:, None] * probabilities[:, :1])
        )
        dropped[:, 0] = False
        kept = ranked.masked_fill(dropped, float("-inf"))
        return torch.empty_like(logits).scatter_(1, order, kept)


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
    cumulative = scaled.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)
    target = uniform * cumulative[:, -1]
    drawn = torch.searchsorted(cumulative, target[:, None], right=True)[:, 0]
    best = logits.argmax(dim=-1)
    return torch.where(temperature > 0, drawn.clamp_max(logits.shape[-1] - 1), best)


def logprobs_of(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Natural-log probabilities of `tokens` int64 [n] under `logits` [n, vocabulary].

    Returns:
        float32 [n].
    """
    return logits.float().log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0]
