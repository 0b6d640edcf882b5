"""Many pieces of work on one model at once, one token a row and step.

Work comes as jobs and joins what is running at the next step. Paths are kept in
a tree (`kv_tree.py`), so each segment is read once; what to compute is left to
a backend. A row's tokens depend on its request and seed, not on its company.

When memory runs out, all rows start again, half as many at a time; their seeds
draw the same tokens.

It does not: share work between models, or prefer some work to other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from langchain_qstar.errors import ModelError
from langchain_qstar.models.backend import Backend, Counters, Floats, Ints, Start
from langchain_qstar.models.engine import Job
from langchain_qstar.models.kv_tree import KVTree, Node
from langchain_qstar.models.rows import Endings, Row

READ_TOKENS: Final = 8192
"""Most new tokens that are read between two decode steps."""


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
class _Want:
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
class _Open:
    """A job in hand: how many of its wants are open, and what it resolves to."""

    wants: list[_Want]
    left: int
    result: Callable[[], Any]


class Scheduler:
    """The worker of an engine that runs a language model."""

    def __init__(
        self,
        backend: Backend,
        endings: Endings,
        *,
        max_rows: int,
        row_tokens: int,
        cache_bytes: int,
    ) -> None:
        """Put a scheduler in front of `backend`.

        Args:
            backend: Computes.
            endings: Says where rows end.
            max_rows: Most rows that run at once.
            row_tokens: Most tokens, contexts included, of the rows that run at once.
            cache_bytes: Budget of the tree.
        """
        self.backend = backend
        self.tree = KVTree(cache_bytes, backend.split)
        self.max_rows = max_rows
        self.counters = Counters()
        self._endings = endings
        self._row_tokens = row_tokens
        self._read_tokens = READ_TOKENS
        self._open: dict[Job, _Open] = {}
        self._waiting: list[_Want] = []
        self._running: list[tuple[Row, _Want]] = []
        self._kinds: Ints = np.zeros(0, dtype=np.int64)

    @property
    def busy(self) -> bool:
        """Whether anything is waiting or running."""
        return bool(self._waiting or self._running)

    def begin(self) -> None:
        """See `Worker`."""
        self.backend.prepare()

    def admit(self, job: Job) -> None:
        """See `Worker`."""
        payload = job.payload
        if isinstance(payload, CallJob):
            job.resolve(payload.run())
        elif isinstance(payload, SampleJob):
            self._admit_sampling(job, payload)
        elif isinstance(payload, FeatureJob):
            self._admit_features(job, payload)
        elif isinstance(payload, NextJob):
            self._admit_next(job, payload)
        else:
            self._admit_scoring(job, payload)

    def step(self) -> None:
        """Read what is missing, start what can start, draw a token for every row."""
        self._drop_cancelled()
        self._read()
        self._start()
        if self._running:
            self._decode()
        self.tree.evict()
        self.counters.evicted = self.tree.evictions

    def abandon(self) -> None:
        """See `Worker`."""
        for opened in self._open.values():
            for want in opened.wants:
                self.tree.release(want.leaf)
        self._open.clear()
        self._waiting.clear()
        self._running.clear()
        self.backend.reset()

    def end(self) -> None:
        """See `Worker`."""
        self.abandon()
        self.tree.clear()

    # What comes in.

    def _admit_sampling(self, job: Job, payload: SampleJob) -> None:
        wants: dict[int, _Want] = {}
        for number, rows in enumerate(payload.groups):
            live = [row for row in rows if row.limit]
            if live:
                leaf = self._pinned(self.tree.extend(live[0].context))
                contexts = len(live) * leaf.length
                wants[number] = _Want(job, leaf, rows=live, contexts=contexts)

        def result() -> list[int]:
            groups = range(len(payload.groups))
            return [wants[number].read if number in wants else 0 for number in groups]

        self._await(job, list(wants.values()), result)

    def _admit_features(self, job: Job, payload: FeatureJob) -> None:
        if payload.layers != self.backend.layers:
            self.backend.layers = payload.layers
        wants = [
            _Want(job, self._pinned(self.tree.extend(path)), hidden=True) for path in payload.paths
        ]

        def result() -> Floats:
            states = [self.backend.hidden(want.leaf.state) for want in wants]
            return np.stack([state for state in states if state is not None])

        self._await(job, wants, result)

    def _admit_next(self, job: Job, payload: NextJob) -> None:
        wants = [
            _Want(job, self._pinned(self.tree.extend(path)), logits=True) for path in payload.paths
        ]

        def result() -> list[tuple[list[float], int]]:
            after, tokens = self.backend.next_logprobs, payload.tokens
            return [(after(want.leaf.state, tokens), want.read) for want in wants]

        self._await(job, wants, result)

    def _admit_scoring(self, job: Job, payload: ScoreJob) -> None:
        wants = []
        for path, ids in payload.pairs:
            start = self._pinned(self.tree.extend(path))
            leaf = self._pinned(self.tree.extend(ids, start))
            self.tree.release(start)
            wants.append(_Want(job, leaf, scored_from=start))

        def result() -> list[tuple[float, ...]]:
            return [
                tuple(value for node in want.scored() for value in node.logprobs or ())
                for want in wants
            ]

        self._await(job, wants, result)

    def _pinned(self, node: Node) -> Node:
        self.tree.pin(node)
        return node

    def _await(self, job: Job, wants: list[_Want], result: Callable[[], Any]) -> None:
        self._open[job] = _Open(wants, len(wants), result)
        self._waiting += wants
        self._close_if_done(job)

    # What goes out.

    def _satisfied(self, want: _Want) -> None:
        self._open[want.job].left -= 1
        self.counters.reused += want.contexts - want.read if want.contexts else 0
        self._close_if_done(want.job)

    def _close_if_done(self, job: Job) -> None:
        opened = self._open[job]
        if not opened.left:
            value = opened.result()
            self._close(job)
            job.resolve(value)

    def _close(self, job: Job) -> None:
        for want in self._open.pop(job).wants:
            self.tree.release(want.leaf)

    def _drop_cancelled(self) -> None:
        gone = [job for job in self._open if job.cancelled]
        if gone:
            self._drop(gone)

    def _drop(self, jobs: Iterable[Job]) -> None:
        """Forget jobs that nobody waits for."""
        dropped = set(jobs)
        self._waiting = [want for want in self._waiting if want.job not in dropped]
        self._keep([want.job not in dropped for _, want in self._running])
        for job in dropped:
            self._close(job)

    def _fail(self, job: Job, reason: str, cause: BaseException) -> None:
        error = ModelError(reason)
        error.__cause__ = cause
        job.fail(error)
        self._drop([job])

    # Reading.

    def _lacking(self, want: _Want) -> list[Node]:
        """Nodes that must be read before work on `want` can go on, from the top."""
        path = want.leaf.path()
        lacking = {node for node in path if node.state is None}
        if (want.rows or want.logits) and not self.backend.can_start(want.leaf.state):
            lacking.add(want.leaf)
        if want.hidden and self.backend.hidden(want.leaf.state) is None:
            lacking.add(want.leaf)
        for node in want.scored():
            if node.logprobs is None:
                lacking.add(node)
                above = node.parent
                if above is not None and not self.backend.can_start(above.state):
                    lacking.add(above)
        return [node for node in path if node in lacking]

    def _read(self) -> None:
        """Read one batch of what waiting work lacks: segments whose parents were read."""
        if not self._waiting:
            return
        missing: dict[Node, _Want] = {}
        scored: set[Node] = set()
        for want in self._next_up():
            for node in self._lacking(want):
                missing.setdefault(node, want)
            scored.update(want.scored())
        chains = _chains(missing, self._read_tokens)
        if not chains:
            return
        try:
            states = self.backend.read(
                chains, scored=any(node in scored for chain in chains for node in chain)
            )
        except MemoryError as error:
            self._read_less(missing[chains[0][0]].job, len(chains), error)
            return
        for chain, made in zip(chains, states, strict=True):
            for node, (state, size) in zip(chain, made, strict=True):
                self.tree.store(node, state, size)
                count = len(node.tokens)
                missing[node].read += count
                self.counters.prefilled += count
                self.counters.forwarded += count

    def _next_up(self) -> list[_Want]:
        """Waiting work that could begin now, as far as room for rows goes."""
        room = self.max_rows - len(self._running)
        chosen = []
        for want in self._waiting:
            if want.rows and room <= 0:
                continue
            room -= len(want.rows)
            chosen.append(want)
        return chosen

    def _read_less(self, job: Job, chains: int, error: MemoryError) -> None:
        """Make room, or give up on what cannot be read even by itself."""
        if chains == 1 and not self._running and not self.tree.bytes:
            self._fail(job, "out of memory: the text is too long for this device", error)
        elif chains > 1:
            self._read_tokens = max(1, self._read_tokens // 2)
        elif self._running:
            self._preempt(error)
        else:
            self._shrink_tree(job, error)

    def _shrink_tree(self, job: Job, error: MemoryError) -> None:
        before, self.tree.budget = self.tree.bytes, self.tree.bytes // 2
        self.tree.evict()
        if self.tree.bytes == before:
            self._fail(job, "out of memory: the text is too long for this device", error)

    # Drawing.

    def _start(self) -> None:
        """Start the rows, and end the look-ups, whose paths are all there."""
        if not self._waiting:
            return
        starting: dict[Node, list[tuple[Row, _Want]]] = {}
        waiting: list[_Want] = []
        rows = len(self._running)
        tokens = sum(_size(row) for row, _ in self._running)
        satisfied: list[_Want] = []
        for want in self._waiting:
            if (want.rows and rows >= self.max_rows) or self._lacking(want):
                waiting.append(want)
                continue
            while want.rows and rows < self.max_rows:
                size = _size(want.rows[0])
                if rows and tokens + size > self._row_tokens:
                    break
                rows, tokens = rows + 1, tokens + size
                want.running += 1
                starting.setdefault(want.leaf, []).append((want.rows.pop(0), want))
            if want.rows:
                waiting.append(want)
            elif not want.running:
                satisfied.append(want)
        self._waiting = waiting
        for want in satisfied:
            self._satisfied(want)
        self._join(starting)

    def _join(self, starting: dict[Node, list[tuple[Row, _Want]]]) -> None:
        """Start rows, those of one context together whoever asked for them."""
        if not starting:
            return
        starts = []
        for leaf, pairs in starting.items():
            self.tree.touch(leaf)
            limit = max(_drawn(row) for row, _ in pairs)
            starts.append(Start(leaf, [row.sampling for row, _ in pairs], limit))
            self._running += pairs
        try:
            self.backend.join(starts)
        except MemoryError as error:
            self._preempt(error)
        self._number_kinds()

    def _number_kinds(self) -> None:
        kind = self._endings.kind
        self._kinds = np.array([kind(row.stop) for row, _ in self._running], dtype=np.int64)

    def _decode(self) -> None:
        try:
            tokens, logprobs = self.backend.draw()
        except MemoryError as error:
            self._preempt(error)
            return
        notable = self._endings.notable(self._kinds, tokens)
        for (row, _), token, logprob, flag in zip(
            self._running, tokens, logprobs, notable, strict=True
        ):
            if row.feed is None:
                row.took(token, logprob)
                if flag or row.left <= 0:
                    self._endings.look(row)
        stays = self._leave()
        if self._running:
            self._advance([token for token, stay in zip(tokens, stays, strict=True) if stay])
            self._leave()

    def _advance(self, drawn: Sequence[int]) -> None:
        """Read a token into every row: the one it drew, or the next it must read."""
        tokens = [
            token if row.feed is None else row.feed[0]
            for (row, _), token in zip(self._running, drawn, strict=True)
        ]
        try:
            self.backend.advance(tokens)
        except MemoryError as error:
            self._preempt(error)
            return
        self.counters.steps += 1
        self.counters.forwarded += len(tokens)
        for row, _ in self._running:
            if row.feed:
                row.feed.pop(0)

    def _leave(self) -> list[bool]:
        """Take out the rows that have nothing left to read, and store what they read.

        Returns:
            Which of the rows stay.
        """
        stays = [row.feed is None or bool(row.feed) for row, _ in self._running]
        if all(stays):
            return stays
        gone = [want for (_, want), stay in zip(self._running, stays, strict=True) if not stay]
        for number, stay in enumerate(stays):
            if not stay:
                self._store(number)
        self._keep(stays)
        for want in gone:
            want.running -= 1
            if not want.running and not want.rows:
                self._satisfied(want)
        return stays

    def _store(self, number: int) -> None:
        """Make the branch of a finished row a node of the tree."""
        row, want = self._running[number]
        self.counters.generated += row.generated
        if row.whole and row.node_tokens:
            state, size = self.backend.take(number)
            node = self.tree.attach(want.leaf, row.node_tokens, state, size)
            if not row.cut:
                node.logprobs = tuple(row.logprobs)

    def _keep(self, stays: list[bool]) -> None:
        if not all(stays):
            numbers = [number for number, stay in enumerate(stays) if stay]
            self.backend.keep(numbers)
            self._running = [self._running[number] for number in numbers]
            self._kinds = self._kinds[numbers]

    def _preempt(self, error: MemoryError) -> None:
        """Start all rows again, half as many at a time."""
        rows, self._running = self._running, []
        self.backend.reset()
        self._number_kinds()
        if len(rows) == 1:
            self._put_back(rows)
            reason = "out of memory: one completion alone is too much for this device"
            self._fail(rows[0][1].job, reason, error)
            return
        self.max_rows = len(rows) // 2
        self._put_back(rows)

    def _put_back(self, pairs: Sequence[tuple[Row, _Want]]) -> None:
        for row, want in pairs:
            row.restart()
            want.running -= 1
            want.rows.append(row)
            if want not in self._waiting:
                self._waiting.insert(0, want)


def _size(row: Row) -> int:
    return len(row.context) + _drawn(row)


def _drawn(row: Row) -> int:
    """Most tokens that are likely to be drawn for a row."""
    return row.limit + row.thought_limit * row.thinking


def _chains(missing: Iterable[Node], budget: int) -> list[list[Node]]:
    """Sequences of missing nodes that can be read now, of at most `budget` tokens in all."""
    nodes = set(missing)
    below: dict[Node, list[Node]] = {}
    for node in missing:
        if node.parent in nodes and node.parent is not None:
            below.setdefault(node.parent, []).append(node)
    chains: list[list[Node]] = []
    for node in missing:
        if node.parent in nodes:
            continue
        chain = [node]
        while len(below.get(chain[-1], ())) == 1:
            chain.append(below[chain[-1]][0])
        budget -= sum(len(each.tokens) for each in chain)
        if chains and budget < 0:
            break
        chains.append(chain)
    return chains
