"""Reading text below paths of a tree, many pieces in one forward pass.

Pieces below the same path share a slot, so the path is copied and read once for
all of them, as long as what they see of each other in vain is less than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, TypeAlias

import torch

from langchain_qstar.models.transformers.forward import (
    CausalModel,
    Chain,
    Output,
    Reading,
    Segment,
    following_logprobs,
)
from langchain_qstar.models.transformers.tree_attention import Plan, Slots, following, grid_of

CHUNK: Final = 2048
"""Most tokens of a slot in one forward pass; bounds the mask."""

BATCH: Final = 16384
"""Most new tokens, with padding, of one forward pass."""

COLUMNS: Final = 131072
"""Most columns of all slots of one forward pass; bounds the memory it takes."""

Kept: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of a segment, [layers, key heads, tokens, size]."""


@dataclass(slots=True)
class Text:
    """A chain in its slot, after `first` tokens of others; where its segments end."""

    chain: Chain[Kept]
    first: int
    tokens: list[int]
    ends: list[int]
    reading: Reading = field(default_factory=lambda: Reading([], []))


@dataclass(slots=True)
class Page:
    """What goes into one slot: a path of `start` tokens, and texts below it."""

    start: int
    texts: list[Text] = field(default_factory=list)
    size: int = 0

    @property
    def width(self) -> int:
        """Columns of the slot."""
        return self.start + self.size

    def takes(self, size: int) -> bool:
        """Whether one more text of this size pays off."""
        return not self.texts or self.size + size <= self.start

    def add(self, chain: Chain[Kept]) -> Text:
        """Put a chain behind the others."""
        tokens = [token for segment in chain.segments for token in segment]
        text = Text(chain, self.size, tokens, list(accumulate(map(len, chain.segments))))
        self.texts.append(text)
        self.size += len(tokens)
        return text


def paginate(chains: Sequence[Chain[Kept]]) -> tuple[list[Page], list[Text]]:
    """Pages for all chains, and the text of each."""
    pages: list[Page] = []
    last: dict[int, Page] = {}  # by path
    texts = []
    for chain in chains:
        page = last.get(id(chain.path))
        if page is None or not page.takes(sum(map(len, chain.segments))):
            page = last[id(chain.path)] = Page(chain.start)
            pages.append(page)
        texts.append(page.add(chain))
    return pages, texts


def batches(pages: Sequence[Page]) -> Iterator[list[Page]]:
    """Pages of like size that go together, so that little is padding."""
    batch: list[Page] = []
    widest = 0
    for page in sorted(pages, key=lambda page: page.size):
        widest = max(widest, page.width)
        count = len(batch) + 1
        if batch and (page.size * count > BATCH or widest * count > COLUMNS):
            yield batch
            batch, widest = [], page.width
        batch.append(page)
    yield batch


class TreeReader:
    """Reads pages side by side, one in each slot, a chunk of all of them at a time."""

    def __init__(self, model: CausalModel, slots: Slots, pages: Sequence[Page]) -> None:
        """Read `pages` into fresh `slots` that are large enough."""
        self._model = model
        self._slots = slots
        self._pages = pages
        for slot, page in enumerate(pages):
            slots.write(slot, page.texts[0].chain.path)

    def run(self, *, scored: bool) -> None:
        """Read everything; the results are in the texts."""
        for at in range(0, max(page.size for page in self._pages), CHUNK):
            self._read_chunk(at, scored=scored)

    def _read_chunk(self, at: int, *, scored: bool) -> None:
        sizes = [max(0, min(CHUNK, page.size - at)) for page in self._pages]
        *firsts, count = accumulate(sizes, initial=0)
        wanted = range(count) if scored else list(self._ends_within(at, sizes, firsts))
        # A pass must return some logits, also where nothing ends.
        keep = list(wanted) or [count - 1]
        output = self._forward(at, sizes, keep)
        row_of = {place: row for row, place in enumerate(keep)}
        for slot, (page, size, first) in enumerate(zip(self._pages, sizes, firsts, strict=True)):
            for text in page.texts:
                # Places of the text's tokens in this pass start here, if any are in it.
                begin = first + text.first - at
                if scored:
                    self._score(text, output, at, size, begin)
                for tokens, end in zip(text.chain.segments, text.ends, strict=True):
                    if at < text.first + end <= at + size:
                        place = begin + end - 1
                        hidden = None if output.hidden is None else output.hidden[0, place].clone()
                        logits = output.logits[0, row_of[place]].clone()
                        column = page.start + text.first + end - len(tokens)
                        kept = self._kept(slot, column, len(tokens))
                        text.reading.segments.append(Segment(kept, logits, hidden))

    def _score(self, text: Text, output: Output, at: int, size: int, begin: int) -> None:
        """Add the log-probabilities of tokens that come after tokens of this pass."""
        low, high = max(0, at - text.first), min(len(text.tokens), at + size - text.first)
        after = text.tokens[low + 1 : high + 1]
        if low < high and after:
            (ids,) = self._model.indices(after)
            logits = output.logits[0, begin + low : begin + low + len(after)]
            text.reading.logprobs += following_logprobs(logits, ids)

    def _ends_within(self, at: int, sizes: Sequence[int], firsts: Sequence[int]) -> Iterator[int]:
        """The places, among the tokens of this pass, where segments end."""
        for page, size, first in zip(self._pages, sizes, firsts, strict=True):
            for text in page.texts:
                for end in text.ends:
                    if at < text.first + end <= at + size:
                        yield first + text.first + end - 1 - at

    def _forward(self, at: int, sizes: Sequence[int], keep: Sequence[int]) -> Output:
        """One pass over `sizes` tokens of every page, from token `at` on."""
        queries = max(sizes)
        ids: list[int] = []
        positions: list[int] = []
        columns: list[int] = []
        begins: list[int] = []
        slots: list[int] = []
        back: list[int] = []
        for slot, (page, size) in enumerate(zip(self._pages, sizes, strict=True)):
            for text in page.texts:
                low, high = max(0, at - text.first), min(len(text.tokens), at + size - text.first)
                if low >= high:
                    continue
                own = page.start + text.first
                ids += text.tokens[low:high]
                positions += range(page.start + low, page.start + high)
                columns += range(own + low, own + high)
                begins += [own] * (high - low)
                slots += [slot] * (high - low)
                back += range(
                    slot * queries + text.first + low - at, slot * queries + text.first + high - at
                )
        starts = [page.start for page in self._pages]
        sent = self._model.indices(ids, positions, columns, begins, slots, back, starts, keep)
        ids_, positions_, columns_, begins_, slots_, back_, starts_, keep_ = sent
        shape = (len(sizes), queries, 1)
        first, last = (
            back_.new_zeros(len(sizes) * queries).scatter_(0, back_, each).view(shape)
            for each in (begins_, columns_)
        )
        mask = self._mask(starts_[:, None, None], first, last, max(columns) + 1)
        places = len(sizes) * queries
        grid = None if len(back) == places else grid_of(back_, places)
        plan = Plan(slots_, columns_, grid, back_, mask)
        with following(plan):
            return self._model(ids_[None], positions_[None], self._slots.cache, keep=keep_)

    def _mask(
        self, start: torch.Tensor, begin: torch.Tensor, own: torch.Tensor, width: int
    ) -> torch.Tensor:
        """[slots, queries, width]: a token sees its path, and its own text up to itself.

        Args:
            start: [slots, 1, 1], where paths end.
            begin: [slots, queries, 1], where the text of each token begins.
            own: [slots, queries, 1], the column of each token.
            width: Columns there are.
        """
        column = torch.arange(width, device=own.device)
        unseen = (column >= start) & ((column < begin) | (column > own))
        mask = torch.zeros(unseen.shape, dtype=self._slots.keys.dtype, device=own.device)
        return mask.masked_fill_(unseen, float("-inf"))

    def _kept(self, slot: int, start: int, count: int) -> Kept:
        span = slice(start, start + count)
        keys, values = self._slots.keys, self._slots.values
        return keys[:, slot, :, span].clone(), values[:, slot, :, span].clone()
