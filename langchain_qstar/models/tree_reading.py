"""Reading text below paths of a tree, many pieces in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, TypeAlias

import torch

from langchain_qstar.models.forward import (
    CausalModel,
    Chain,
    Output,
    Reading,
    Segment,
    following_logprobs,
)
from langchain_qstar.models.tree_attention import Plan, Slots, following, grid_of

CHUNK: Final = 2048
"""Most tokens of a chain in one forward pass; bounds the mask."""

BATCH: Final = 16384
"""Most tokens, with padding, of one forward pass."""

Kept: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of a segment, [layers, tokens, key heads, size]."""


def batches(sizes: Sequence[int]) -> list[list[int]]:
    """Numbers of chains of like size that go together, so that little is padding."""
    groups: list[list[int]] = []
    for number in sorted(range(len(sizes)), key=lambda number: sizes[number]):
        if not groups or sizes[number] * (len(groups[-1]) + 1) > BATCH:
            groups.append([])
        groups[-1].append(number)
    return groups


@dataclass(slots=True)
class _Text:
    """A chain in its slot: all tokens, where its segments end, and what was found."""

    chain: Chain[Kept]
    tokens: list[int]
    ends: list[int]
    reading: Reading = field(default_factory=lambda: Reading([], []))


class TreeReader:
    """Reads chains side by side, one in each slot, a chunk of all of them at a time."""

    def __init__(self, model: CausalModel, slots: Slots, chains: Sequence[Chain[Kept]]) -> None:
        """Read `chains` into fresh `slots` that are large enough."""
        self._model = model
        self._slots = slots
        self._texts = []
        for slot, chain in enumerate(chains):
            slots.write(slot, chain.path)
            tokens = [token for segment in chain.segments for token in segment]
            self._texts.append(_Text(chain, tokens, list(accumulate(map(len, chain.segments)))))

    def run(self, *, scored: bool) -> list[Reading]:
        """Read everything."""
        for at in range(0, max(len(text.tokens) for text in self._texts), CHUNK):
            self._read_chunk(at, scored=scored)
        return [text.reading for text in self._texts]

    def _read_chunk(self, at: int, *, scored: bool) -> None:
        parts = [text.tokens[at : at + CHUNK] for text in self._texts]
        firsts = [0, *accumulate(map(len, parts))]
        count = firsts.pop()
        wanted = range(count) if scored else self._ends_within(at, parts, firsts)
        # A pass must return some logits, also where nothing ends.
        keep = list(wanted) or [count - 1]
        output = self._forward(at, parts, keep)
        row_of = {token: row for row, token in enumerate(keep)}
        for slot, (text, part) in enumerate(zip(self._texts, parts, strict=True)):
            first = firsts[slot]
            if scored:
                after = text.tokens[at + 1 : at + 1 + len(part)]
                (ids,) = self._model.indices(after)
                text.reading.logprobs += following_logprobs(
                    output.logits[0, first : first + len(after)], ids
                )
            for tokens, end in zip(text.chain.segments, text.ends, strict=True):
                if at < end <= at + len(part):
                    place = first + end - 1 - at
                    hidden = None if output.hidden is None else output.hidden[0, place].clone()
                    logits = output.logits[0, row_of[place]].clone()
                    kept = self._kept(slot, text.chain.start + end - len(tokens), len(tokens))
                    text.reading.segments.append(Segment(kept, logits, hidden))

    def _ends_within(
        self, at: int, parts: Sequence[Sequence[int]], firsts: Sequence[int]
    ) -> list[int]:
        """The places, among the tokens of this pass, where segments end."""
        return [
            first + end - 1 - at
            for text, part, first in zip(self._texts, parts, firsts, strict=True)
            for end in text.ends
            if at < end <= at + len(part)
        ]

    def _forward(self, at: int, parts: Sequence[Sequence[int]], keep: Sequence[int]) -> Output:
        queries = max(map(len, parts))
        capacity = self._slots.capacity
        positions: list[int] = []
        places: list[int] = []
        back: list[int] = []
        begins = [text.chain.start + at for text in self._texts]
        for slot, (begin, part) in enumerate(zip(begins, parts, strict=True)):
            positions += range(begin, begin + len(part))
            places += range(slot * capacity + begin, slot * capacity + begin + len(part))
            back += range(slot * queries, slot * queries + len(part))
        ids = [token for part in parts for token in part]
        sent = self._model.indices(ids, positions, places, back, begins, keep)
        ids_, positions_, places_, back_, begins_, keep_ = sent
        columns = max(begin + len(part) for begin, part in zip(begins, parts, strict=True))
        mask = self._causal(begins_, queries, columns)
        size = len(parts) * queries
        grid = None if len(back) == size else grid_of(back_, size)
        plan = Plan(places_, grid, back_, mask)
        with following(plan):
            return self._model(ids_[None], positions_[None], self._slots.cache, keep=keep_)

    def _causal(self, begins: torch.Tensor, queries: int, columns: int) -> torch.Tensor:
        """[slots, queries, columns]: a query sees what comes up to itself."""
        device = self._model.device
        own = begins[:, None] + torch.arange(queries, device=device)
        later = torch.arange(columns, device=device) > own[..., None]
        mask = torch.zeros(later.shape, dtype=self._model.dtype, device=device)
        return mask.masked_fill_(later, float("-inf"))

    def _kept(self, slot: int, start: int, count: int) -> Kept:
        span = slice(start, start + count)
        return self._slots.keys[:, slot, span].clone(), self._slots.values[:, slot, span].clone()
