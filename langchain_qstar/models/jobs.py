"""What can be asked of a scheduler, and what has to be read or drawn for it.

A job becomes wants, each at the end of one path; when all of them are
satisfied, it resolves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from langchain_qstar.models.backend import Backend, Floats
from langchain_qstar.models.engine import Job
from langchain_qstar.models.kv_tree import KVTree, Node
from langchain_qstar.models.rows import Row


@dataclass(frozen=True, slots=True)
class SampleJob:
    """Complete rows, the rows of a group after one context.

    Resolves to the number of tokens that had to be read for each group; the
    results are in the rows.
    """

    groups: Sequence[Sequence[Row]]


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

    `rows` are to be started at its end, `running` of them were. `hidden` and
    `logits` say whether those of its last token are wanted; so are the
    log-probabilities of all nodes after `scored_from`. `contexts` are the context tokens of all its
    rows, of which `read` had to be read.
    """

    job: Job
    leaf: Node
    rows: list[Row] = field(default_factory=list)
    running: int = 0
    hidden: bool = False
    logits: bool = False
    scored_from: Node | None = None
    contexts: int = 0
    read: int = 0

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
        return _open_features(job, payload, tree, backend)
    if isinstance(payload, NextJob):
        return _open_next(job, payload, tree, backend)
    return _open_scoring(job, payload, tree)


def _open_sampling(job: Job, payload: SampleJob, tree: KVTree) -> OpenJob:
    wants: dict[int, Want] = {}
    for number, rows in enumerate(payload.groups):
        live = [row for row in rows if row.limit]
        if live:
            leaf = _pinned(tree, live[0].context)
            wants[number] = Want(job, leaf, rows=live, contexts=len(live) * leaf.length)

    def result() -> list[int]:
        groups = range(len(payload.groups))
        return [wants[number].read if number in wants else 0 for number in groups]

    return OpenJob(list(wants.values()), len(wants), result)


def _open_features(job: Job, payload: FeatureJob, tree: KVTree, backend: Backend) -> OpenJob:
    if payload.layers != backend.layers:
        backend.layers = payload.layers
    wants = [Want(job, _pinned(tree, path), hidden=True) for path in payload.paths]

    def result() -> Floats:
        states = [backend.hidden(want.leaf.state) for want in wants]
        return np.stack([state for state in states if state is not None])

    return OpenJob(wants, len(wants), result)


def _open_next(job: Job, payload: NextJob, tree: KVTree, backend: Backend) -> OpenJob:
    wants = [Want(job, _pinned(tree, path), logits=True) for path in payload.paths]

    def result() -> list[tuple[list[float], int]]:
        after, tokens = backend.next_logprobs, payload.tokens
        return [(after(want.leaf.state, tokens), want.read) for want in wants]

    return OpenJob(wants, len(wants), result)


def _open_scoring(job: Job, payload: ScoreJob, tree: KVTree) -> OpenJob:
    wants = []
    for path, ids in payload.pairs:
        start = _pinned(tree, path)
        leaf = tree.extend(ids, start)
        tree.pin(leaf)
        tree.release(start)
        wants.append(Want(job, leaf, scored_from=start))

    def result() -> list[tuple[float, ...]]:
        return [
            tuple(value for node in want.scored() for value in node.logprobs or ())
            for want in wants
        ]

    return OpenJob(wants, len(wants), result)


def _pinned(tree: KVTree, path: Sequence[int]) -> Node:
    node = tree.extend(path)
    tree.pin(node)
    return node
