"""The backend for llama.cpp: nodes are stretches of cells, branches are sequences."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TypeAlias
from weakref import ref

import numpy as np

from langchain_qstar.models.engine.backend import Bools, Floats, Start
from langchain_qstar.models.engine.kv_tree import Node
from langchain_qstar.models.llamacpp.cells import Cells
from langchain_qstar.models.llamacpp.context import Context
from langchain_qstar.models.llamacpp.draws import HostDraws, likeliest_of, next_logprobs
from langchain_qstar.models.llamacpp.reading import Reading, note_logprobs, read_together
from langchain_qstar.models.llamacpp.sequences import Stretch
from langchain_qstar.models.llamacpp.streams import Streams
from langchain_qstar.models.llamacpp.streams import Stretch as KeptStretch
from langchain_qstar.protocols import Likeliest

Memory: TypeAlias = Cells | Streams
"""What the rows of a context share, or each has of its own."""


_LOGITS_BYTES: Final = 2**25
"""Logits of so many ends of segments are kept; one alone has 600 kB in a vocabulary of 150,000."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class State:
    """What the tree keeps of a segment: where its cells are, and what its last token gave.

    A segment that was parted from a longer one has no `logits`, nor has one whose
    logits were not used for long: its last token is read again. `hidden` are those
    of `layers`.
    """

    stretch: Stretch | KeptStretch
    logits: Floats | None = None
    hidden: Floats | None = None
    layers: tuple[int, ...] = ()


class _KeptLogits:
    """The latest states to get or to use logits; older ones lose theirs."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._states: OrderedDict[int, ref[State]] = OrderedDict()

    def use(self, state: State) -> None:
        """Note that `state` has logits, and uses them."""
        self._states[id(state)] = ref(state)
        self._states.move_to_end(id(state))
        while len(self._states) > self._most:
            _, oldest = self._states.popitem(last=False)
            if (gone := oldest()) is not None:
                gone.logits = None


@dataclass(eq=False, slots=True)
class _Branch:
    """Sequence `number` holds `length` tokens below `leaf`, those from `start` on its own.

    It is not likely to grow longer than `limit`. `number` is None once its
    tokens are a stretch.
    """

    number: int | None
    leaf: Node
    start: int
    length: int
    limit: int


class LlamaCppBackend:
    """Runs one model in one context; see `Backend`."""

    def __init__(self, context: Context, memory: Memory, cell_bytes: float, max_rows: int) -> None:
        """Run branches in `context`, which nobody else uses.

        Args:
            context: Takes `max_rows` tokens a call.
            memory: Of the context.
            cell_bytes: Memory of the keys and values of one token.
            max_rows: Most branches at once.
        """
        self.vocabulary = context.model.tokens
        self._context = context
        self._cells: Any = memory
        self._cell_bytes = cell_bytes
        self._max_rows = max_rows
        self._branches: list[_Branch] = []
        self._draws = HostDraws()
        # All rows may be about to start, each after a context of its own.
        self._kept = _KeptLogits(max(max_rows, _LOGITS_BYTES // (4 * self.vocabulary)))
        self._logits: list[Floats] = []
        """Of every branch; views, because those of all branches are many megabytes."""
        self._hidden: Floats | None = None
        self._layers: tuple[int, ...] = ()

    @property
    def layers(self) -> tuple[int, ...]:
        """Hidden layers recorded for the ends of nodes."""
        return self._layers

    @layers.setter
    def layers(self, layers: tuple[int, ...]) -> None:
        if layers != self._layers:
            self._context.record(layers)
            self._layers, self._hidden = layers, None

    @property
    def crowded(self) -> bool:
        """Whether running branches may not find room to grow, or the next text to be read."""
        growth = sum(branch.limit - branch.length for branch in self._branches)
        crowded: bool = self._cells.crowded(growth, self._max_rows - len(self._branches))
        return crowded

    def prepare(self) -> None:
        """See `Backend`."""

    def split(self, state: State, count: int) -> tuple[State, State]:
        """See `Backend`."""
        first, state.stretch = self._cells.part(state.stretch, count)
        return State(first), state

    def can_start(self, state: State | None) -> bool:
        """See `Backend`."""
        return state is not None and state.logits is not None

    def next_logprobs(self, state: State, tokens: Sequence[int]) -> list[float]:
        """See `Backend`."""
        assert state.logits is not None
        return next_logprobs(state.logits, tokens)

    def hidden(self, state: State | None, layers: tuple[int, ...]) -> Floats | None:
        """See `Backend`."""
        return state.hidden if state is not None and state.layers == layers else None

    def read(
        self, chains: Sequence[Sequence[Node]], *, scored: bool
    ) -> list[list[tuple[State, int]]]:
        """See `Backend`."""
        # The context is about to overwrite what it gave.
        self._logits = [row if row.flags.owndata else row.copy() for row in self._logits]
        made: list[list[tuple[State, int]]] = []
        readers = self._cells.readers
        for at in range(0, len(chains), readers):
            made += self._read_some(chains[at : at + readers], scored=scored)
        return made

    def _read_some(
        self, chains: Sequence[Sequence[Node]], *, scored: bool
    ) -> list[list[tuple[State, int]]]:
        readings: list[Reading] = []
        made: list[list[tuple[State, int]]] = []
        try:
            for nodes in chains:
                parent = nodes[0].parent
                assert parent is not None
                again = _lacks_its_end_only(nodes, scored=scored)
                start = nodes[0].length - 1 if again else parent.length
                path = _stretches(nodes[0] if again else parent)
                branch = self._cells.fork(path, start, reading=True)
                readings.append(Reading(branch, nodes, start))
            read_together(self._cells, readings, self._layers, scored=scored)
            while readings:
                made.append(self._stored(readings.pop(0), scored=scored))
        finally:
            for reading in readings:
                self._cells.drop(reading.branch)
        return made

    def _stored(self, reading: Reading, *, scored: bool) -> list[tuple[State, int]]:
        """The states of a chain that was read."""
        if _lacks_its_end_only(reading.nodes, scored=scored):
            state = reading.nodes[0].state
            self._cells.drop(reading.branch)
            state.logits, state.hidden = reading.logits[0], reading.hidden[0]
            state.layers = self._layers
            return [self._sized(state)]
        if scored:
            state = reading.parent.state
            note_logprobs(reading, None if state is None else state.logits)
        bounds = [(node.length - len(node.tokens), node.length) for node in reading.nodes]
        stretches = self._cells.store(reading.branch, bounds)
        self._cells.share(_stretches(reading.parent), stretches[-1])
        return [
            self._sized(State(stretch, logits, hidden, self._layers))
            for stretch, logits, hidden in zip(
                stretches, reading.logits, reading.hidden, strict=True
            )
        ]

    def join(self, starts: Sequence[Start]) -> None:
        """See `Backend`."""
        for start in starts:
            length = start.leaf.length
            limit = length + start.limit
            first = self._cells.fork(_stretches(start.leaf), length)
            self._kept.use(start.leaf.state)
            self._branches.append(_Branch(first, start.leaf, length, length, limit))
            for _ in start.samplings[1:]:
                twin = self._cells.twin(first)
                self._branches.append(_Branch(twin, start.leaf, length, length, limit))
        logits = [[start.leaf.state.logits] * len(start.samplings) for start in starts]
        self._logits += chain.from_iterable(logits)
        if self._hidden is not None:  # those of new branches come with their first token
            count = len(self._logits) - len(self._hidden)
            unknown = np.zeros((count, self._hidden.shape[1]), dtype=np.float32)
            self._hidden = np.concatenate([self._hidden, unknown])
        self._draws.join(starts)

    def draw(self, allowed: Mapping[int, Bools]) -> tuple[list[int], list[float]]:
        """See `Backend`."""
        return self._draws.draw(self._logits, allowed)

    def likeliest(self, counts: Mapping[int, int]) -> dict[int, Likeliest]:
        """See `Backend`."""
        return likeliest_of(self._logits, counts)

    def advance(self, tokens: Sequence[int]) -> None:
        """See `Backend`."""
        numbers = self._cells.packed([branch.number for branch in self._branches])
        # In the order of their numbers, or llama.cpp would not compute streams together.
        order = np.argsort(numbers).tolist()
        self._cells.decode(
            [tokens[place] for place in order],
            [self._branches[place].length for place in order],
            [numbers[place] for place in order],
            [True] * len(tokens),
        )
        places = np.argsort(order).tolist()
        for branch, number in zip(self._branches, numbers, strict=True):
            branch.length, branch.number = branch.length + 1, number
        in_order = places == list(range(len(places)))
        self._logits = self._context.logits(None if in_order else places)
        self._hidden = self._context.hidden(self._layers, places) if self._layers else None
        self._draws.advance(tokens)

    def take(self, number: int) -> tuple[State, int]:
        """See `Backend`. The branch cannot go on after it."""
        branch = self._branches[number]
        assert branch.number is not None
        (stretch,) = self._cells.store(branch.number, [(branch.start, branch.length)])
        branch.number = None
        self._cells.share(_stretches(branch.leaf), stretch)
        hidden = self._hidden
        return self._sized(
            State(
                stretch,
                self._logits[number].copy(),
                None if hidden is None else hidden[number].copy(),
                () if hidden is None else self._layers,
            )
        )

    def keep(self, numbers: Sequence[int]) -> None:
        """See `Backend`."""
        kept = set(numbers)
        for number, branch in enumerate(self._branches):
            if number not in kept:
                self._end(branch)
        rows = list(numbers)
        self._branches = [self._branches[number] for number in rows]
        self._logits = [self._logits[number] for number in rows]
        if self._hidden is not None:
            self._hidden = self._hidden[rows]
        self._draws.keep(rows)

    def reset(self) -> None:
        """See `Backend`."""
        self.keep([])
        self._hidden = None

    def _end(self, branch: _Branch) -> None:
        if branch.number is not None:
            self._cells.drop(branch.number)

    def _sized(self, state: State) -> tuple[State, int]:
        """A new state, and what it takes of the cells; logits have a budget of their own."""
        if state.logits is not None:
            self._kept.use(state)
        size = int(len(state.stretch) * self._cell_bytes)
        return state, size + (0 if state.hidden is None else state.hidden.nbytes)


def _stretches(leaf: Node) -> list[Any]:
    """Where the tokens down to `leaf` are, as far as they are kept."""
    return [node.state.stretch for node in leaf.path() if node.state is not None]


def _lacks_its_end_only(chain: Sequence[Node], *, scored: bool) -> bool:
    """Whether the tokens were read, and only what the last one gave is wanted again."""
    node = chain[0]
    known = node.state is not None and (node.logprobs is not None or not scored)
    return known and len(chain) == 1
