"""The backend for transformers models: reads, draws and advances on torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from langchain_qstar.models.engine.backend import Bools, Floats, Start
from langchain_qstar.models.engine.kv_tree import Node
from langchain_qstar.models.transformers.branches import Branches
from langchain_qstar.models.transformers.draws import Draws
from langchain_qstar.models.transformers.forward import (
    CausalModel,
    Chain,
    Fork,
    Output,
    following_logprobs,
    out_of_memory,
)
from langchain_qstar.protocols import Likeliest


@dataclass(slots=True)
class State:
    """What the tree keeps of a segment: its keys and values, and what its last token gave.

    A segment that was parted from a longer one has no `logits`. `hidden` are
    those of `layers`.
    """

    kept: Any
    logits: torch.Tensor | None = None
    hidden: Floats | None = None
    layers: tuple[int, ...] = ()


class TransformersBackend:
    """Runs one causal LM; see `Backend`."""

    def __init__(self, model: CausalModel, branches: Branches, threads: int | None = None) -> None:
        """Run `model` with its branches held by `branches`, on so many CPU threads."""
        self.model = model
        self.vocabulary = model.vocabulary
        self._branches = branches
        self._threads = threads
        self._draws = Draws(model.device)
        self._last: Output | None = None

    @property
    def layers(self) -> tuple[int, ...]:
        """Hidden layers recorded for the ends of nodes."""
        return self.model.layers

    @layers.setter
    def layers(self, layers: tuple[int, ...]) -> None:
        if layers != self.model.layers and self._last is not None:
            self._last.hidden = None  # those of other layers
        self.model.layers = layers

    @property
    def bytes(self) -> int:
        """Memory held for running branches."""
        return self._branches.bytes

    @property
    def crowded(self) -> bool:
        """See `Backend`: memory has no other bounds than the tree's budget."""
        return False

    def prepare(self) -> None:
        """See `Backend`."""
        if self._threads is not None:
            # Holds for this thread only: callers keep their own setting.
            torch.set_num_threads(self._threads)

    def split(self, state: State, count: int) -> tuple[State, State] | None:
        """See `Backend`."""
        parts = self._branches.split(state.kept, count)
        if parts is None:
            return None
        return State(parts[0]), State(parts[1], state.logits, state.hidden, state.layers)

    def can_start(self, state: State | None) -> bool:
        """See `Backend`."""
        return state is not None and state.logits is not None

    def next_logprobs(self, state: State, tokens: Sequence[int]) -> list[float]:
        """See `Backend`."""
        assert state.logits is not None
        with _careful():
            scores = state.logits.float().log_softmax(dim=-1)
            (chosen,) = self.model.indices(tokens)
            values: list[float] = scores[chosen].tolist()
        return values

    def hidden(self, state: State | None, layers: tuple[int, ...]) -> Floats | None:
        """See `Backend`."""
        return state.hidden if state is not None and state.layers == layers else None

    def read(
        self, chains: Sequence[Sequence[Node]], *, scored: bool
    ) -> list[list[tuple[State, int]]]:
        """See `Backend`."""
        with _careful():
            # One list for each path, so that chains below the same one are seen to be.
            paths = {parent: _kept_of(parent) for parent in map(_parent_of, chains)}
            asked = [
                Chain(paths[parent], parent.length, [node.tokens for node in nodes])
                for nodes, parent in ((nodes, _parent_of(nodes)) for nodes in chains)
            ]
            readings = self._branches.read(asked, scored=scored)
            for nodes, reading in zip(chains, readings, strict=True):
                if scored:
                    _note_logprobs(nodes, reading.logprobs)
            return [
                [
                    self._sized(State(each.kept, each.logits, _on_host(each.hidden), self.layers))
                    for each in reading.segments
                ]
                for reading in readings
            ]

    def join(self, starts: Sequence[Start]) -> None:
        """See `Backend`."""
        with _careful():
            self._branches.join(
                [
                    Fork(
                        _kept_of(start.leaf),
                        start.leaf.length,
                        len(start.samplings),
                        start.limit,
                    )
                    for start in starts
                ]
            )
            counts = torch.tensor([len(start.samplings) for start in starts])
            states = [start.leaf.state for start in starts]
            logits = torch.stack([state.logits for state in states])
            logits = logits.repeat_interleave(counts.to(logits.device), dim=0)
            self._last = _joined(self._last, logits)
            self._draws.join(starts)

    def draw(self, allowed: Mapping[int, Bools]) -> tuple[list[int], list[float]]:
        """See `Backend`."""
        with _careful():
            assert self._last is not None
            tokens, logprobs = self._draws.draw(self._last.logits, allowed)
            return tokens.tolist(), logprobs.tolist()

    def likeliest(self, counts: Mapping[int, int]) -> dict[int, Likeliest]:
        """See `Backend`."""
        with _careful():
            assert self._last is not None
            return self._draws.likeliest(self._last.logits, counts)

    def advance(self, tokens: Sequence[int]) -> None:
        """See `Backend`."""
        with _careful():
            self._last = self._branches.advance(tokens)
            self._draws.advance(tokens)

    def take(self, number: int) -> tuple[State, int]:
        """See `Backend`."""
        with _careful():
            assert self._last is not None
            hidden = self._last.hidden
            return self._sized(
                State(
                    self._branches.take(number),
                    self._last.logits[number].clone(),
                    # A copy: a view would keep the states of all branches.
                    None if hidden is None else _on_host(hidden[number].clone()),
                    () if hidden is None else self.layers,
                )
            )

    def keep(self, numbers: Sequence[int]) -> None:
        """See `Backend`."""
        with _careful():
            self._branches.keep(numbers)
            assert self._last is not None
            (rows,) = self.model.indices(numbers)
            hidden = self._last.hidden
            self._last = (
                Output(self._last.logits[rows], None if hidden is None else hidden[rows])
                if numbers
                else None
            )
            self._draws.keep(numbers, rows)

    def reset(self) -> None:
        """See `Backend`."""
        self._branches.reset()
        self._draws = Draws(self.model.device)
        self._last = None

    def _sized(self, state: State) -> tuple[State, int]:
        size = self._branches.size_of(state.kept)
        size += 0 if state.logits is None else state.logits.nbytes
        return state, size + (0 if state.hidden is None else state.hidden.nbytes)


def _parent_of(chain: Sequence[Node]) -> Node:
    parent = chain[0].parent
    assert parent is not None
    return parent


def _kept_of(leaf: Node) -> list[Any]:
    """What is kept of every segment down to `leaf`."""
    return [node.state.kept for node in leaf.path()]


def _joined(running: Output | None, logits: torch.Tensor) -> Output:
    """Running branches, and new ones, which have no hidden states before they read a token."""
    if running is None:
        return Output(logits, None)
    hidden = running.hidden
    if hidden is not None:
        hidden = torch.cat([hidden, hidden.new_zeros((len(logits), hidden.shape[1]))])
    return Output(torch.cat([running.logits, logits]), hidden)


def _on_host(hidden: torch.Tensor | None) -> Floats | None:
    return None if hidden is None else hidden.cpu().numpy()


def _note_logprobs(nodes: Sequence[Node], after_first: Sequence[float]) -> None:
    """Give nodes of a chain their log-probabilities, as far as they are known.

    That of the very first token follows from the logits before it, if there are any.
    """
    state = _parent_of(nodes).state
    if state is not None and state.logits is not None:
        first = torch.tensor(nodes[0].tokens[:1], device=state.logits.device)
        values = [*following_logprobs(state.logits[None], first), *after_first]
    else:
        values = list(after_first[len(nodes[0].tokens) - 1 :])
        nodes = nodes[1:]
    for node in nodes:
        count = len(node.tokens)
        node.logprobs, values = tuple(values[:count]), values[count:]


@contextmanager
def _careful() -> Iterator[None]:
    """No gradients, and one type of error when memory runs out."""
    with torch.inference_mode(), out_of_memory():
        yield
