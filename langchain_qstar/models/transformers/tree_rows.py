"""Branches that share one copy of their path: the fast way, for full attention only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch

from langchain_qstar.models.transformers.forward import CausalModel, Chain, Fork, Output, Reading
from langchain_qstar.models.transformers.tree_attention import Plan, Slots, following, grid_of
from langchain_qstar.models.transformers.tree_reading import Kept, TreeReader, batches, paginate

_ROOM: Final = 64
"""Least number of columns added at a time."""

_LIKELY: Final = 4
"""Branches are expected to end at this fraction of their limit. A slot takes as many
as then have no more columns of their own than of the path."""

_IDLE_BYTES: Final = 2**27
"""Slots no larger than this are kept for the next branches when all have left."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Keys and values of one token: layers, key heads, the sizes of both, and their type."""

    layers: int
    heads: int
    key_size: int
    value_size: int
    dtype: torch.dtype


@dataclass(eq=False, slots=True)
class _Branch:
    """A branch sits in `slot`; `seen` is its row in the table of visible columns."""

    slot: int
    seen: int
    position: int
    columns: list[int] = field(default_factory=list)


class TreeRows:
    """Branches in slots. A slot holds a path and as many branches after it as pay off.

    Since columns of a slot are read by all of its branches, whether they see
    them or not, long branches on a short path get slots of their own.
    """

    def __init__(self, model: CausalModel, shape: Shape) -> None:
        """Run branches of `model`, whose cache has this shape."""
        self._model = model
        self._shape = shape
        self._branches: list[_Branch] = []
        self._slots: Slots | None = None
        self._used: list[int] = []
        self._holes: list[int] = []
        self._free_seen: list[int] = []
        self._seen = self._table(0, 0)

    def __len__(self) -> int:
        return len(self._branches)

    @property
    def bytes(self) -> int:
        """Memory held for running branches."""
        return 0 if self._slots is None else self._slots.bytes + self._seen.nbytes

    def size_of(self, kept: Kept) -> int:
        """Bytes of a segment."""
        return kept[0].nbytes + kept[1].nbytes

    def split(self, kept: Kept, count: int) -> tuple[Kept, Kept]:
        """The first `count` tokens and the rest, as copies: a view would keep both alive."""
        keys, values = kept
        return (
            (keys[:, :, :count].clone(), values[:, :, :count].clone()),
            (keys[:, :, count:].clone(), values[:, :, count:].clone()),
        )

    def join(self, forks: Sequence[Fork[Kept]]) -> None:
        """Start branches."""
        shares = [_share(fork) for fork in forks]
        groups = sum(-(-fork.count // share) for fork, share in zip(forks, shares, strict=True))
        longest = max(fork.start + share for fork, share in zip(forks, shares, strict=True))
        slots = self._with_room(len(self._used) - len(self._holes) + groups, longest)
        count = sum(fork.count for fork in forks)
        self._with_table(len(self._branches) + count, slots.capacity)
        rows: list[int] = []
        starts: list[int] = []
        for fork, share in zip(forks, shares, strict=True):
            for first in range(0, fork.count, share):
                slot = self._open_slot()
                slots.write(slot, fork.path)
                self._used[slot] = fork.start
                for _ in range(min(share, fork.count - first)):
                    rows.append(self._free_seen.pop())
                    starts.append(fork.start)
                    self._branches.append(_Branch(slot, rows[-1], fork.start))
        self._show_paths(rows, starts)

    def _show_paths(self, rows: Sequence[int], starts: Sequence[int]) -> None:
        """Let new branches see their paths and nothing else."""
        rows_, starts_ = self._model.indices(rows, starts)
        columns = torch.arange(self._seen.shape[1], device=self._model.device)
        sight = torch.zeros(
            (len(rows), len(columns)), dtype=self._seen.dtype, device=columns.device
        )
        self._seen[rows_] = sight.masked_fill_(columns >= starts_[:, None], float("-inf"))

    def advance(self, tokens: Sequence[int]) -> Output:
        """Read one token into every branch; logits and hidden states [branches, ...]."""
        self._close_holes()
        crowd = [0] * len(self._used)
        for branch in self._branches:
            crowd[branch.slot] += 1
        width = max(used + count for used, count in zip(self._used, crowd, strict=True))
        slots = self._with_room(len(self._used), width)
        self._with_table(len(self._branches), slots.capacity)
        columns, back = self._places(max(crowd))
        size = len(crowd) * max(crowd)
        seen = [branch.seen for branch in self._branches]
        in_slots = [branch.slot for branch in self._branches]
        positions = [branch.position for branch in self._branches]
        sent = self._model.indices(tokens, positions, seen, in_slots, columns, back)
        ids_, positions_, seen_, slots_, columns_, back_ = sent
        self._seen[seen_, columns_] = 0
        grid = None if back == list(range(size)) else grid_of(back_, size)
        mask = self._seen[seen_ if grid is None else seen_[grid], :width]
        mask = mask.view(len(crowd), max(crowd), width)
        plan = Plan(slots_, columns_, grid, back_, mask)
        with following(plan):
            output = self._model(ids_[None], positions_[None], slots.cache)
        for branch, column in zip(self._branches, columns, strict=True):
            branch.columns.append(column)
            branch.position += 1
            self._used[branch.slot] = column + 1
        hidden = None if output.hidden is None else output.hidden[0]
        return Output(output.logits[0], hidden)

    def _places(self, queries: int) -> tuple[list[int], list[int]]:
        """For every branch the column it writes next, and the place of its query."""
        columns, back = [], []
        taken = [0] * len(self._used)
        for branch in self._branches:
            slot = branch.slot
            columns.append(self._used[slot] + taken[slot])
            back.append(slot * queries + taken[slot])
            taken[slot] += 1
        return columns, back

    def take(self, number: int) -> Kept:
        """Keys and values of the tokens read into a branch."""
        branch = self._branches[number]
        assert self._slots is not None
        (columns,) = self._model.indices(branch.columns)
        keys, values = self._slots.keys, self._slots.values
        return (
            keys[:, branch.slot].index_select(2, columns),
            values[:, branch.slot].index_select(2, columns),
        )

    def keep(self, numbers: Sequence[int]) -> None:
        """Drop all branches but these."""
        kept = [self._branches[number] for number in numbers]
        alive = {branch.seen for branch in kept}
        self._free_seen += [each.seen for each in self._branches if each.seen not in alive]
        occupied = {branch.slot for branch in kept}
        self._holes = [slot for slot in range(len(self._used)) if slot not in occupied]
        self._branches = kept
        if not kept and self.bytes > _IDLE_BYTES:
            self.reset()

    def reset(self) -> None:
        """Drop everything."""
        self._branches, self._used, self._holes, self._free_seen = [], [], [], []
        self._slots, self._seen = None, self._table(0, 0)

    def read(self, chains: Sequence[Chain[Kept]], *, scored: bool) -> list[Reading]:
        """Read chains of segments, each below its path, those of like length as one batch."""
        pages, texts = paginate(chains)
        for batch in batches(pages):
            slots = self._fresh(len(batch), max(page.width for page in batch))
            TreeReader(self._model, slots, batch).run(scored=scored)
        return [text.reading for text in texts]

    def _fresh(self, count: int, capacity: int) -> Slots:
        shape = self._shape
        kind: dict[str, Any] = {"dtype": shape.dtype, "device": self._model.device}
        sizes = (shape.layers, count, shape.heads, capacity)
        return Slots(
            torch.zeros((*sizes, shape.key_size), **kind),
            torch.zeros((*sizes, shape.value_size), **kind),
        )

    def _with_room(self, count: int, capacity: int) -> Slots:
        """The slots, at least so many of at least so many columns."""
        slots = self._slots
        if slots is None:
            slots = self._fresh(count, capacity + _ROOM)
        elif count > slots.count or capacity > slots.capacity:
            if count > slots.count:
                count = max(count, slots.count * 3 // 2)
            if capacity > slots.capacity:
                capacity = max(capacity + _ROOM, slots.capacity * 5 // 4)
            slots = slots.resized(
                max(count, slots.count), max(capacity, slots.capacity), max(self._used, default=0)
            )
        self._slots = slots
        return slots

    def _table(self, rows: int, columns: int) -> torch.Tensor:
        """Of every branch which columns it sees: 0, else -inf."""
        options: dict[str, Any] = {"dtype": self._shape.dtype, "device": self._model.device}
        return torch.full((rows, columns), float("-inf"), **options)

    def _with_table(self, rows: int, columns: int) -> None:
        """Make the table of visible columns at least this large."""
        old_rows, old_columns = self._seen.shape
        if rows <= old_rows and columns <= old_columns:
            return
        if rows > old_rows:
            rows = max(rows, old_rows * 3 // 2)
            self._free_seen += range(old_rows, rows)
        table = self._table(max(rows, old_rows), max(columns, old_columns))
        table[:old_rows, :old_columns] = self._seen
        self._seen = table

    def _open_slot(self) -> int:
        if self._holes:
            return self._holes.pop()
        self._used.append(0)
        return len(self._used) - 1

    def _close_holes(self) -> None:
        """Move the last slots into the holes, so that none is computed for nothing."""
        holes, self._holes = sorted(self._holes), []
        while holes:
            last = len(self._used) - 1
            if last == holes[-1]:
                holes.pop()
            else:
                self._move(last, holes.pop(0))
            self._used.pop()

    def _move(self, last: int, hole: int) -> None:
        used = self._used[last]
        assert self._slots is not None
        for tensor in (self._slots.keys, self._slots.values):
            tensor[:, hole, :, :used] = tensor[:, last, :, :used]
        self._used[hole] = used
        for branch in self._branches:
            if branch.slot == last:
                branch.slot = hole


def _share(fork: Fork[Kept]) -> int:
    """How many branches of a fork share a slot: the longer they may be, the fewer."""
    return max(1, min(fork.count, _LIKELY * fork.start // max(1, fork.limit)))
