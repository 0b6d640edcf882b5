"""The backend for transformers models: reads, draws and advances on torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from langchain_qstar.models.backend import Floats, Sampling, Start
from langchain_qstar.models.drawing import (
    Truncation,
    draw,
    logprobs_of,
    penalise,
    seed_tensor,
    uniforms,
)
from langchain_qstar.models.forward import (
    CausalModel,
    Chain,
    Fork,
    Output,
    Reading,
    following_logprobs,
    out_of_memory,
)
from langchain_qstar.models.kv_tree import Node


class Branches(Protocol):
    """How the keys and values of branches are held: `TreeRows` or `ForkedRows`.

    `Any` is what the holder keeps of one segment.
    """

    @property
    def bytes(self) -> int:
        """Memory held for running branches."""
        ...

    def join(self, forks: Sequence[Fork[Any]]) -> None:
        """Start branches."""
        ...

    def advance(self, tokens: Sequence[int]) -> Output:
        """Read one token into every branch; logits and hidden states [branches, ...]."""
        ...

    def take(self, number: int) -> Any:
        """What is kept of the tokens read into a branch."""
        ...

    def keep(self, numbers: Sequence[int]) -> None:
        """Drop all branches but these."""
        ...

    def reset(self) -> None:
        """Drop all branches, and the memory they used."""
        ...

    def read(self, chains: Sequence[Chain[Any]], *, scored: bool) -> list[Reading]:
        """Read chains of segments, each below its path."""
        ...

    def split(self, kept: Any, count: int) -> tuple[Any, Any] | None:
        """See `kv_tree.Split`."""
        ...

    def size_of(self, kept: Any) -> int:
        """Bytes of a segment."""
        ...


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
        self._draws = _Draws(model.device)
        self._last: Output | None = None

    @property
    def layers(self) -> tuple[int, ...]:
        """Hidden layers recorded for the ends of nodes."""
        return self.model.layers

    @layers.setter
    def layers(self, layers: tuple[int, ...]) -> None:
        self.model.layers = layers

    @property
    def bytes(self) -> int:
        """Memory held for running branches."""
        return self._branches.bytes

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

    def hidden(self, state: State | None) -> Floats | None:
        """See `Backend`."""
        return state.hidden if state is not None and state.layers == self.layers else None

    def read(
        self, chains: Sequence[Sequence[Node]], *, scored: bool
    ) -> list[list[tuple[State, int]]]:
        """See `Backend`."""
        with _careful():
            asked = []
            for nodes in chains:
                parent = nodes[0].parent
                assert parent is not None
                path = [node.state.kept for node in parent.path()]
                asked.append(Chain(path, parent.length, [node.tokens for node in nodes]))
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
                        [node.state.kept for node in start.leaf.path()],
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
            self._last = _stacked(self._last, Output(logits, self._hidden_of(states, counts)))
            self._draws.join(starts)

    def _hidden_of(self, states: Sequence[State], counts: torch.Tensor) -> torch.Tensor | None:
        """Recorded hidden states where branches start, or None unless all are known."""
        known = [self.hidden(state) for state in states]
        if not self.layers or any(each is None for each in known):
            return None
        rows = torch.from_numpy(np.stack([each for each in known if each is not None]))
        return rows.repeat_interleave(counts, dim=0).to(self.model.device)

    def draw(self) -> tuple[list[int], list[float]]:
        """See `Backend`."""
        with _careful():
            assert self._last is not None
            tokens, logprobs = self._draws.draw(self._last.logits)
            return tokens.tolist(), logprobs.tolist()

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
                    None if hidden is None else _on_host(hidden[number]),
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
        self._draws = _Draws(self.model.device)
        self._last = None

    def _sized(self, state: State) -> tuple[State, int]:
        size = self._branches.size_of(state.kept)
        size += 0 if state.logits is None else state.logits.nbytes
        return state, size + (0 if state.hidden is None else state.hidden.nbytes)


class _Draws:
    """Sampling settings of the running branches, side by side on the device."""

    def __init__(self, device: torch.device) -> None:
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

    def draw(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and their log-probabilities, [branches] each."""
        seeds, positions, top_k = self._ints
        temperature, top_p, min_p = self._floats
        truncation = Truncation(top_p, top_k, min_p) if self._truncates else None
        scored = self._penalised(logits.float())
        tokens = draw(scored, uniforms(seeds, positions), temperature, truncation)
        return tokens, logprobs_of(logits, tokens)

    def _penalised(self, logits: torch.Tensor) -> torch.Tensor:
        rows = [number for number, seen in enumerate(self._seen) if seen is not None]
        if not rows:
            return logits
        logits = logits.clone()
        for row in rows:
            seen = torch.tensor(sorted(set(self._seen[row] or ())), device=self._device)
            penalise(logits, row, seen, self._samplings[row].repetition_penalty)
        return logits

    def advance(self, tokens: Sequence[int]) -> None:
        """Every branch has read a token."""
        self._ints[1] += 1
        for seen, token in zip(self._seen, tokens, strict=True):
            if seen is not None:
                seen.append(token)

    def keep(self, numbers: Sequence[int], rows: torch.Tensor) -> None:
        """Keep these branches; `rows` are the same numbers on the device."""
        self._ints, self._floats = self._ints[:, rows], self._floats[:, rows]
        self._samplings = [self._samplings[number] for number in numbers]
        self._seen = [self._seen[number] for number in numbers]
        self._truncates = _truncates(self._samplings)


def _truncates(samplings: Sequence[Sampling]) -> bool:
    return any(each.top_p < 1 or each.top_k > 0 or each.min_p > 0 for each in samplings)


def _stacked(one: Output | None, other: Output) -> Output:
    """The rows of both; hidden states only when both have them."""
    if one is None:
        return other
    hidden = None
    if one.hidden is not None and other.hidden is not None:
        hidden = torch.cat([one.hidden, other.hidden])
    return Output(torch.cat([one.logits, other.logits]), hidden)


def _on_host(hidden: torch.Tensor | None) -> Floats | None:
    return None if hidden is None else hidden.cpu().numpy()


def _note_logprobs(nodes: Sequence[Node], after_first: Sequence[float]) -> None:
    """Give nodes of a chain their log-probabilities, as far as they are known."""
    parent = nodes[0].parent
    assert parent is not None
    before = None if parent.state is None else parent.state.logits
    if before is None:
        return
    first = torch.tensor(nodes[0].tokens[:1], device=before.device)
    values = [*following_logprobs(before[None], first), *after_first]
    for node in nodes:
        count = len(node.tokens)
        node.logprobs, values = tuple(values[:count]), values[count:]


@contextmanager
def _careful() -> Iterator[None]:
    """No gradients, and one type of error when memory runs out."""
    with torch.inference_mode(), out_of_memory():
        yield
