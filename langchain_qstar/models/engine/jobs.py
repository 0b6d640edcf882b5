"""What can be asked of a scheduler, and what has to be read or drawn for it.

A job becomes wants, each at the end of one path; when all of them are
satisfied, it resolves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from langchain_qstar.models.engine.backend import Backend, Floats
from langchain_qstar.models.engine.kv_tree import KVTree, Node
from langchain_qstar.models.engine.rows import Row
from langchain_qstar.models.engine.thread import Job
from langchain_qstar.spending.allowance import now


@dataclass(frozen=True, slots=True)
class SampleJob:
    """Complete rows, the rows of a group after one context.

    Resolves to the number of tokens that had to be read for each group; the
    results are in the rows. Those that have not ended at the `deadline` (on the clock
    of `spending.allowance`) are `cancelled` then, and have what was drawn.
    """

    groups: Sequence[Sequence[Row]]
    deadline: float | None = None

    @property
    def is_late(self) -> bool:
        """Whether its time is over."""
        return self.deadline is not None and now() >= self.deadline


@dataclass(frozen=True, slots=True)
class FeatureJob:
    """Hidden states of `layers` at the end of each path; resolves to float32 [n, d]."""

    paths: Sequence[tuple[int, ...]]
    layers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """Log-probabilities of given tokens; resolves to a tuple of floats for each pair.

    `pairs` are (path, tokens after it), neither of them empty.
    """

    pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class NextJob:
    """Log-probabilities of some next tokens at the end of each path.

    Resolves to (list of floats, tokens that had to be read) for each path.
    """

    paths: Sequence[tuple[int, ...]]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CallJob:
    """Run something on the thread; resolves to what it returns."""

    run: Callable[[], Any]


@dataclass(eq=False, slots=True)
class Want:
    """A path that must be in the tree before work on it can begin or end.

    `rows` are to be started at its end, `running` of them were. `layers` are
    those whose hidden states of its last token are wanted; `logits` says
    whether its logits are. The log-probabilities of all nodes after
    `scored_from` are wanted. `contexts` are the context tokens of all its rows,
    of which `read` had to be read. `found` is what `collect` returns once
    everything is there: later work may replace it.
    """

    job: Job
    leaf: Node
    collect: Callable[[Want], Any]
    rows: list[Row] = field(default_factory=list)
    running: int = 0
    layers: tuple[int, ...] = ()
    logits: bool = False
    scored_from: Node | None = None
    contexts: int = 0
    read: int = 0
    found: Any = None

    def scored(self) -> list[Node]:
        """The nodes whose log-probabilities are wanted."""
        path = self.leaf.path()
        return [] if self.scored_from is None else path[path.index(self.scored_from) + 1 :]


@dataclass(eq=False, slots=True)
class OpenJob:
    """A job in hand: how many of its wants are open, and what it resolves to."""

    wants: list[Want]
    left: int
    result: Callable[[], Any]


def open_job(job: Job, tree: KVTree, backend: Backend) -> OpenJob:
    """The wants of a job, their paths pinned in the tree."""
    payload = job.payload
    if isinstance(payload, SampleJob):
        return _open_sampling(job, payload, tree)
    if isinstance(payload, FeatureJob):
        layers = payload.layers
        wants = [
            Want(job, _pinned(tree, path), _hidden_by(backend), layers=layers)
            for path in payload.paths
        ]
        return OpenJob(wants, len(wants), lambda: np.stack([want.found for want in wants]))
    if isinstance(payload, NextJob):
        collect = _next_by(backend, payload.tokens)
        wants = [Want(job, _pinned(tree, path), collect, logits=True) for path in payload.paths]
    else:
        wants = [_scored(job, tree, path, ids) for path, ids in payload.pairs]
    return OpenJob(wants, len(wants), lambda: [want.found for want in wants])


def _open_sampling(job: Job, payload: SampleJob, tree: KVTree) -> OpenJob:
    wants: dict[int, Want] = {}
    for number, rows in enumerate(payload.groups):
        live = [row for row in rows if row.limit]
        if live:
            leaf = _pinned(tree, live[0].context)
            contexts = len(live) * leaf.length
            wants[number] = Want(job, leaf, _tokens_read, rows=live, contexts=contexts)

    def result() -> list[int]:
        groups = range(len(payload.groups))
        return [wants[number].found if number in wants else 0 for number in groups]

    return OpenJob(list(wants.values()), len(wants), result)


def _tokens_read(want: Want) -> int:
    return want.read


def _hidden_by(backend: Backend) -> Callable[[Want], Floats | None]:
    return lambda want: backend.hidden(want.leaf.state, want.layers)


def _next_by(backend: Backend, tokens: Sequence[int]) -> Callable[[Want], tuple[list[float], int]]:
    return lambda want: (backend.next_logprobs(want.leaf.state, tokens), want.read)


def _scored(job: Job, tree: KVTree, path: Sequence[int], ids: Sequence[int]) -> Want:
    start = _pinned(tree, path)
    leaf = tree.extend(ids, start)
    tree.pin(leaf)
    tree.release(start)
    return Want(job, leaf, _logprobs, scored_from=start)


def _logprobs(want: Want) -> tuple[float, ...]:
    return tuple(value for node in want.scored() for value in node.logprobs or ())


def _pinned(tree: KVTree, path: Sequence[int]) -> Node:
    node = tree.extend(path)
    tree.pin(node)
    return node
