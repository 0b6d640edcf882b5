"""The sampling settings of running branches, side by side on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch

from langchain_qstar.models.engine.backend import Bools, Sampling, Start
from langchain_qstar.models.transformers.drawing import (
    Truncation,
    draw,
    drawing_device,
    logprobs_of,
    penalise,
    seed_tensor,
    uniforms,
)
from langchain_qstar.protocols import Likeliest

_AT_ONCE: Final = 2**18
"""Logits that a CPU works on together, 1 MiB of them, but at least one row."""


class Draws:
    """Draws the next token of every branch, each by its own settings and seed."""

    def __init__(self, device: torch.device) -> None:
        """Start without branches of a model on `device`."""
        device = drawing_device(device)
        self._device = device
        self._samplings: list[Sampling] = []
        self._seen: list[list[int] | None] = []
        self._ints = torch.zeros((3, 0), dtype=torch.int64, device=device)
        self._floats = torch.zeros((3, 0), device=device)

    def join(self, starts: Sequence[Start]) -> None:
        """Add branches."""
        samplings = [each for start in starts for each in start.samplings]
        seeds = seed_tensor([each.seed for each in samplings], torch.device("cpu"))
        top_k = torch.tensor([each.top_k for each in samplings])
        ints = torch.stack([seeds, torch.zeros_like(seeds), top_k]).to(self._device)
        floats = torch.tensor([[e.temperature, e.top_p, e.min_p] for e in samplings])
        self._ints = torch.cat([self._ints, ints], dim=1)
        self._floats = torch.cat([self._floats, floats.T.to(self._device)], dim=1)
        self._samplings += samplings
        for start in starts:
            for each in start.samplings:
                penalised = each.repetition_penalty != 1.0
                self._seen.append(start.leaf.ids() if penalised else None)
        self._truncates = _truncates(self._samplings)

    def draw(
        self, logits: torch.Tensor, allowed: Mapping[int, Bools]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and their log-probabilities, [branches] each; `allowed` as in `Backend.draw`."""
        seeds, positions, top_k = self._ints
        temperature, top_p, min_p = self._floats
        truncation = Truncation(top_p, top_k, min_p) if self._truncates else None
        logits = logits.to(self._device)
        scored = self._only(allowed, self._penalised(logits.float()))
        uniform = uniforms(seeds, positions)
        drawn = [
            draw(
                scored[part],
                uniform[part],
                temperature[part],
                None if truncation is None else truncation.part(part),
            )
            for part in self._parts(logits)
        ]
        tokens = torch.cat(drawn)
        found = [logprobs_of(logits[part], tokens[part]) for part in self._parts(logits)]
        return tokens, torch.cat(found)

    def _parts(self, logits: torch.Tensor) -> list[slice]:
        """Rows that are worked on together: on a CPU as many as stay in its cache."""
        count, vocabulary = logits.shape
        size = max(1, _AT_ONCE // vocabulary) if self._device.type == "cpu" else max(1, count)
        return [slice(start, start + size) for start in range(0, count, size)]

    def likeliest(self, logits: torch.Tensor, counts: Mapping[int, int]) -> dict[int, Likeliest]:
        """See `Backend.likeliest`; `logits` [branches, vocabulary]."""
        rows = torch.tensor(list(counts), device=logits.device)
        most = min(max(counts.values()), logits.shape[-1])
        found = logits[rows].float().log_softmax(dim=-1).topk(most, dim=-1)
        return {
            number: tuple(zip(tokens[:count], values[:count], strict=True))
            for (number, count), values, tokens in zip(
                counts.items(), found.values.tolist(), found.indices.tolist(), strict=True
            )
        }

    def _penalised(self, logits: torch.Tensor) -> torch.Tensor:
        rows = [number for number, seen in enumerate(self._seen) if seen is not None]
        if not rows:
            return logits
        logits = logits.clone()
        for row in rows:
            seen = torch.tensor(sorted(set(self._seen[row] or ())), device=self._device)
            penalise(logits, row, seen, self._samplings[row].repetition_penalty)
        return logits

    def _only(self, allowed: Mapping[int, Bools], logits: torch.Tensor) -> torch.Tensor:
        """Logits of tokens that a grammar forbids become -inf."""
        if not allowed:
            return logits
        rows = torch.tensor(list(allowed), device=self._device)
        kept = torch.from_numpy(np.stack(list(allowed.values()))).to(self._device)
        return logits.index_copy(0, rows, logits[rows].masked_fill(~kept, float("-inf")))

    def advance(self, tokens: Sequence[int]) -> None:
        """Every branch has read a token."""
        self._ints[1] += 1
        for seen, token in zip(self._seen, tokens, strict=True):
            if seen is not None:
                seen.append(token)

    def keep(self, numbers: Sequence[int], rows: torch.Tensor) -> None:
        """Keep these branches; `rows` are the same numbers on the device."""
        rows = rows.to(self._device)
        self._ints, self._floats = self._ints[:, rows], self._floats[:, rows]
        self._samplings = [self._samplings[number] for number in numbers]
        self._seen = [self._seen[number] for number in numbers]
        self._truncates = _truncates(self._samplings)


def _truncates(samplings: Sequence[Sampling]) -> bool:
    return any(each.top_p < 1 or each.top_k > 0 or each.min_p > 0 for each in samplings)
