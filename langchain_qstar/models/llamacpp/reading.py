"""Reading chains of nodes with llama.cpp: many chains, as many tokens a call as fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from langchain_qstar.models.engine.backend import Floats
from langchain_qstar.models.engine.kv_tree import Node
from langchain_qstar.models.llamacpp.cells import Cells
from langchain_qstar.models.llamacpp.draws import logprobs_of, next_logprobs


@dataclass(eq=False, slots=True)
class Reading:
    """A chain that is read into a branch.

    `logits` and `hidden` are those of the last token of every node, `logprobs`
    those of all tokens of the chain but the first, if they were asked for.
    """

    branch: int
    nodes: Sequence[Node]
    logits: list[Floats] = field(default_factory=list)
    hidden: list[Floats | None] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    @property
    def parent(self) -> Node:
        """The node that the chain goes on from."""
        parent = self.nodes[0].parent
        assert parent is not None
        return parent

    def tokens(self) -> Iterator[_Token]:
        """All tokens of the chain, in order."""
        ids = [token for node in self.nodes for token in node.tokens]
        ends = {node.length - 1 for node in self.nodes}
        start = self.parent.length
        for at, token in enumerate(ids):
            after = ids[at + 1] if at + 1 < len(ids) else None
            yield _Token(self, token, start + at, after, last=start + at in ends)


@dataclass(frozen=True, slots=True)
class _Token:
    """A token of a chain; `after` comes next in it, and `last` ends a node."""

    reading: Reading
    token: int
    position: int
    after: int | None
    last: bool


def read_together(
    cells: Cells, readings: Sequence[Reading], layers: tuple[int, ...], *, scored: bool
) -> None:
    """Read all chains and fill in what was found.

    Raises:
        MemoryError: There is no room.
    """
    tokens = [token for reading in readings for token in reading.tokens()]
    size = cells.context.batch
    for at in range(0, len(tokens), size):
        some = tokens[at : at + size]
        cells.decode(
            [each.token for each in some],
            [each.position for each in some],
            [each.reading.branch for each in some],
            [each.last or (scored and each.after is not None) for each in some],
        )
        _note_ends(cells, some, layers)
        if scored:
            _note_following(cells, some)


def _note_ends(cells: Cells, tokens: Sequence[_Token], layers: tuple[int, ...]) -> None:
    places = [place for place, each in enumerate(tokens) if each.last]
    if not places:
        return
    logits = cells.context.logits(places)
    hidden = cells.context.hidden(layers, places) if layers else None
    for number, place in enumerate(places):
        reading = tokens[place].reading
        # Copies: a view would keep the others' as well.
        reading.logits.append(logits[number].copy())
        reading.hidden.append(None if hidden is None else hidden[number].copy())


def _note_following(cells: Cells, tokens: Sequence[_Token]) -> None:
    known = [(place, each, each.after) for place, each in enumerate(tokens)]
    followed = [(place, each.reading, after) for place, each, after in known if after is not None]
    if followed:
        logits = cells.context.logits([place for place, _, _ in followed])
        values = logprobs_of(logits, [after for _, _, after in followed])
        for (_, reading, _), value in zip(followed, values, strict=True):
            reading.logprobs.append(value)


def note_logprobs(reading: Reading, before: Floats | None) -> None:
    """Give the nodes of a chain their log-probabilities, as far as they are known.

    Args:
        reading: With those of all tokens but the first.
        before: The logits before the chain, from which that of the first follows.
    """
    nodes, values = reading.nodes, list(reading.logprobs)
    if before is None:
        values = values[len(nodes[0].tokens) - 1 :]
        nodes = nodes[1:]
    else:
        values = [*next_logprobs(before, nodes[0].tokens[:1]), *values]
    for node in nodes:
        count = len(node.tokens)
        node.logprobs, values = tuple(values[:count]), values[count:]
