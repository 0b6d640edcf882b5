"""Branches with a cache of their own each: slower, and right for every architecture.

Rows of different lengths are padded on the left. Dead rows stay in the cache
until a quarter of it is dead: dropping them copies it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch
from transformers import DynamicCache

from langchain_qstar.models.transformers.cache_layers import (
    beside,
    check_known,
    grows,
    nbytes,
    roomy,
    selected,
    state_of,
    widened,
)
from langchain_qstar.models.transformers.forward import (
    CausalModel,
    Chain,
    Fork,
    Output,
    Reading,
    Segment,
    following_logprobs,
)

_KEEP_SHARE: Final = 0.75

Kept: TypeAlias = list[Any]
"""For each layer: (keys, values) [1, heads, tokens, size] of a segment when the
layer grows, else the layer as it was at the end of the segment."""


@dataclass(eq=False, slots=True)
class _Branch:
    """A branch is in `row` of the cache; it began after `start` tokens."""

    row: int
    start: int
    length: int


class ForkedRows:
    """Branches in one transformers cache, a row each."""

    def __init__(self, model: CausalModel, *, continues: bool = True) -> None:
        """Run branches of `model`.

        Args:
            model: Any causal LM with a transformers cache.
            continues: Whether the model can read several tokens at once after a
                cached beginning. Some recurrent ones can only read one.
        """
        self._model = model
        self._continues = continues
        self._branches: list[_Branch] = []
        self._layers: list[Any] = []
        self._rows = 0
        self._width = 0

    def __len__(self) -> int:
        return len(self._branches)

    @property
    def bytes(self) -> int:
        """Memory held for running branches."""
        return sum(map(nbytes, self._layers))

    def size_of(self, kept: Kept) -> int:
        """Bytes of a segment."""
        return sum(
            each[0].nbytes + each[1].nbytes if isinstance(each, tuple) else nbytes(each)
            for each in kept
        )

    def split(self, kept: Kept, count: int) -> tuple[Kept, Kept] | None:
        """The two parts of a segment, unless a layer cannot go back to its middle."""
        if not all(isinstance(each, tuple) for each in kept):
            return None
        first = [(k[:, :, :count].clone(), v[:, :, :count].clone()) for k, v in kept]
        return first, [(k[:, :, count:].clone(), v[:, :, count:].clone()) for k, v in kept]

    def join(self, forks: Sequence[Fork[Kept]]) -> None:
        """Start branches."""
        self._drop_dead()
        width = max([self._width, *(fork.start for fork in forks)])
        groups = [[widened(layer, width) for layer in self._layers]] if self._layers else []
        for fork in forks:
            rows = torch.zeros(fork.count, dtype=torch.int64)
            layers = [selected(layer, rows) for layer in self._restored(fork.path)]
            groups.append([widened(layer, width) for layer in layers])
            for number in range(self._rows, self._rows + fork.count):
                self._branches.append(_Branch(number, fork.start, fork.start))
            self._rows += fork.count
        self._layers = [roomy(beside(parts)) for parts in zip(*groups, strict=True)]
        self._width = width

    def advance(self, tokens: Sequence[int]) -> Output:
        """Read one token into every branch; logits and hidden states [branches, ...]."""
        ids, positions = [0] * self._rows, [0] * self._rows
        lengths = [1] * self._rows
        for branch, token in zip(self._branches, tokens, strict=True):
            ids[branch.row], positions[branch.row] = token, branch.length
            lengths[branch.row] = branch.length + 1
        ids_, positions_, lengths_, rows_ = self._model.indices(
            ids, positions, lengths, [branch.row for branch in self._branches]
        )
        width = self._width + 1
        places = torch.arange(width, device=self._model.device)
        mask = (places >= width - lengths_[:, None]).long()
        output = self._model(ids_[:, None], positions_[:, None], self._cache(self._layers), mask)
        self._width = width
        for branch in self._branches:
            branch.length += 1
        hidden = None if output.hidden is None else output.hidden[rows_, -1]
        return Output(output.logits[rows_, -1], hidden)

    def take(self, number: int) -> Kept:
        """What the layers hold of a branch; of those that grow, its own tokens only."""
        branch = self._branches[number]
        return self._kept(self._layers, branch.row, branch.length, branch.length - branch.start)

    def keep(self, numbers: Sequence[int]) -> None:
        """Drop all branches but these."""
        self._branches = [self._branches[number] for number in numbers]
        if len(self._branches) < _KEEP_SHARE * self._rows:
            self._drop_dead()

    def reset(self) -> None:
        """Drop everything."""
        self._branches, self._layers, self._rows, self._width = [], [], 0, 0

    def read(self, chains: Sequence[Chain[Kept]], *, scored: bool) -> list[Reading]:
        """Read chains of segments, each after its path, one after the other."""
        return [self._read_chain(chain, scored=scored) for chain in chains]

    def _read_chain(self, chain: Chain[Kept], *, scored: bool) -> Reading:
        layers, start = self._restored(chain.path), chain.start
        reading = Reading([], [])
        before: torch.Tensor | None = None
        for tokens in chain.segments:
            output = self._read(layers, tokens, start, scored=scored)
            start += len(tokens)
            logits = output.logits[0]
            if scored:
                (ids,) = self._model.indices(tokens)
                known = logits[:-1] if before is None else torch.cat([before, logits[:-1]])
                reading.logprobs += following_logprobs(known, ids[len(ids) - len(known) :])
                before = logits[-1:]
            hidden = None if output.hidden is None else output.hidden[0, -1].clone()
            kept = self._kept(layers, 0, start, len(tokens))
            reading.segments.append(Segment(kept, logits[-1].clone(), hidden))
        return reading

    def _read(
        self, layers: list[Any], tokens: Sequence[int], start: int, *, scored: bool
    ) -> Output:
        """Read tokens into the only row of `layers`; logits of all of them, or the last."""
        cache = self._cache(layers)
        at_once = len(tokens) if self._continues or not start else 1
        outputs = []
        for at in range(0, len(tokens), at_once):
            part = tokens[at : at + at_once]
            ids, positions, last = self._model.indices(
                part, range(start + at, start + at + len(part)), [len(part) - 1]
            )
            keep = None if scored else last
            outputs.append(self._model(ids[None], positions[None], cache, keep=keep))
        layers[:] = cache.layers
        logits = torch.cat([output.logits for output in outputs], dim=1)
        return Output(logits, outputs[-1].hidden)

    def _cache(self, layers: list[Any]) -> DynamicCache:
        cache = DynamicCache(config=self._model.model.config)
        cache.layers = layers
        return cache

    def _restored(self, path: Sequence[Kept]) -> list[Any]:
        """The layers at the end of a path, one row, in memory of their own."""
        layers: list[Any] = DynamicCache(config=self._model.model.config).layers
        if not path:
            return layers
        check_known(layers)
        row = torch.zeros(1, dtype=torch.int64)
        restored = []
        for number, layer in enumerate(layers):
            if isinstance(path[-1][number], tuple):
                layer.update(
                    torch.cat([kept[number][0] for kept in path], dim=-2),
                    torch.cat([kept[number][1] for kept in path], dim=-2),
                )
                restored.append(layer)
            else:
                restored.append(selected(path[-1][number], row))
        return restored

    @staticmethod
    def _kept(layers: Sequence[Any], row: int, length: int, tokens: int) -> Kept:
        return [
            (
                layer.keys[row : row + 1, :, -tokens:].clone(),
                layer.values[row : row + 1, :, -tokens:].clone(),
            )
            if grows(layer)
            else state_of(layer, row, length)
            for layer in layers
        ]

    def _drop_dead(self) -> None:
        if len(self._branches) == self._rows:
            return
        if not self._branches:
            self.reset()
            return
        rows = torch.tensor([branch.row for branch in self._branches])
        self._width = max(branch.length for branch in self._branches)
        self._layers = [
            roomy(widened(selected(layer, rows), self._width)) for layer in self._layers
        ]
        for number, branch in enumerate(self._branches):
            branch.row = number
        self._rows = len(self._branches)
