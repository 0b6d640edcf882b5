"""Drawing tokens so that a result depends on its seed and nothing else.

Each (seed, position) pair gives one uniform number by a counter-based hash, and
a token is drawn from it by inverting the cumulative distribution. No generator
state exists, so the batch a row happens to sit in cannot change its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

_GAMMA: Final = 0x9E3779B97F4A7C15 - 2**64
_MIX_1: Final = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2: Final = 0x94D049BB133111EB - 2**64


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


def uniforms(seeds: torch.Tensor, position: int) -> torch.Tensor:
    """One uniform number in [0, 1) per seed, for the token at `position`.

    Args:
        seeds: int64 [n], from `seed_tensor`.
        position: Index of the token within its completion, from 0.

    Returns:
        float64 [n], multiples of 2**-53.
    """
    counter = (position + 1) * 0x9E3779B97F4A7C15 & (2**64 - 1)
    signed = counter - 2**64 if counter >= 2**63 else counter
    # The seed is hashed before the counter is added: neighbouring seeds must
    # not give shifted copies of one sequence.
    return _shift(_mix(_mix(seeds + _GAMMA) + signed), 11).to(torch.float64) * 2.0**-53


def _truncate(logits: torch.Tensor, top_p: torch.Tensor, top_k: torch.Tensor) -> torch.Tensor:
    """Logits with everything outside each row's top-k and nucleus at -inf."""
    ranked, order = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ranked.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    rank = torch.arange(logits.shape[-1], device=logits.device)
    dropped = (before >= top_p[:, None]) | ((top_k[:, None] > 0) & (rank >= top_k[:, None]))
    dropped[:, 0] = False
    return torch.empty_like(logits).scatter_(1, order, ranked.masked_fill(dropped, float("-inf")))


def draw(
    logits: torch.Tensor,
    uniform: torch.Tensor,
    temperature: torch.Tensor,
    top_p: torch.Tensor | None = None,
    top_k: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token per row.

    Args:
        logits: float [n, vocabulary].
        uniform: float64 [n] in [0, 1).
        temperature: float [n]; 0 takes the most probable token.
        top_p: float [n] in (0, 1], or None when no row truncates.
        top_k: int [n], 0 for off, or None when no row truncates.

    Returns:
        The tokens, int64 [n], and their natural-log probabilities under the
        untempered, untruncated model, float32 [n].
    """
    logits = logits.float()
    logprobs = logits.log_softmax(dim=-1)
    scaled = logits / temperature.clamp_min(1e-6)[:, None]
    if top_p is not None and top_k is not None:
        scaled = _truncate(scaled, top_p, top_k)
    cumulative = scaled.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)
    target = uniform * cumulative[:, -1]
    drawn = torch.searchsorted(cumulative, target[:, None], right=True)[:, 0]
    best = logits.argmax(dim=-1)
    tokens = torch.where(temperature > 0, drawn.clamp_max(logits.shape[-1] - 1), best)
    return tokens, logprobs.gather(1, tokens[:, None])[:, 0]
