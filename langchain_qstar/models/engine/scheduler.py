"""Many pieces of work on one model at once, one token a row and step.

Work comes as jobs and joins what is running at the next step. Paths are kept in
a tree (`kv_tree.py`), so each segment is read once; what to compute is left to
a backend. A row's tokens depend on its request and seed, not on its company.

When memory runs out, all rows start again, half as many at a time; their seeds
draw the same tokens.

It does not: share work between models, or prefer some work to other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from langchain_qstar.errors import ModelError
from langchain_qstar.models.engine.backend import Backend, Counters, Ints, Start
from langchain_qstar.models.engine.jobs import CallJob, OpenJob, SampleJob, Want, open_job
from langchain_qstar.models.engine.kv_tree import KVTree, Node
from langchain_qstar.models.engine.missing import chains_of, lacking
from langchain_qstar.models.engine.rows import Endings, Row
from langchain_qstar.models.engine.thread import Job

READ_TOKENS: Final = 8192
"""Most new tokens that are read between two decode steps."""


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
        shared_contexts: bool = False,
    ) -> None:
        """Put a scheduler in front of `backend`.

        Args:
            backend: Computes.
            endings: Says where rows end.
            max_rows: Most rows that run at once.
            row_tokens: Most tokens of the rows that run at once.
            cache_bytes: Budget of the tree.
            shared_contexts: Whether `row_tokens` are those that rows draw; else
                their contexts are included.
        """
        self.backend = backend
        self.tree = KVTree(cache_bytes, backend.split)
        self.max_rows = max_rows
        self.counters = Counters()
        self._endings = endings
        self._row_tokens = row_tokens
        self._shares = shared_contexts
        self._size = _drawn if shared_contexts else _size
        self._read_tokens = READ_TOKENS
        self._open: dict[Job, OpenJob] = {}
        self._waiting: list[Want] = []
        self._running: list[tuple[Row, Want]] = []
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
        if isinstance(job.payload, CallJob):
            job.resolve(job.payload.run())
            return
        opened = open_job(job, self.tree, self.backend)
        self._open[job] = opened
        self._waiting += opened.wants
        self._close_if_done(job)

    def step(self) -> None:
        """Read what is missing, start what can start, draw a token for every row."""
        self._drop_cancelled()
        self._end_late()
        self._read()
        self._start()
        if self._running:
            self._decode()
        self.tree.evict(lambda: self.backend.crowded)
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

    def _satisfied(self, want: Want) -> None:
        want.found = want.collect(want)
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

    def _end_late(self) -> None:
        """End the rows whose time is over, with what they have, and those that wait unbegun."""
        late = {
            job for job in self._open if isinstance(job.payload, SampleJob) and job.payload.is_late
        }
        if not late:
            return
        for row, want in self._running:
            if want.job in late and row.feed is None:
                self._endings.give_up(row)
        unbegun = [want for want in self._waiting if want.job in late]
        self._waiting = [want for want in self._waiting if want.job not in late]
        for want in unbegun:
            for row in want.rows:
                row.finish = "cancelled"
            want.rows = []
        idle = [want for want in unbegun if not want.running]
        self._leave()
        for want in idle:
            self._satisfied(want)

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

    def _read(self) -> None:
        """Read one batch of what waiting work lacks: segments whose parents were read."""
        if not self._waiting:
            return
        missing: dict[Node, Want] = {}
        scored: set[Node] = set()
        layers: tuple[int, ...] = ()
        for want in self._next_up():
            nodes = lacking(want, self.backend)
            if nodes and want.layers:
                layers = layers or want.layers
                if want.layers != layers:
                    continue  # one set of layers at a time
            missing.update((node, want) for node in nodes if node not in missing)
            scored.update(want.scored())
        if layers and layers != self.backend.layers:
            self.backend.layers = layers
        chains = chains_of(missing, self._read_tokens)
        if not chains:
            return
        try:
            states = self.backend.read(
                chains, scored=any(node in scored for chain in chains for node in chain)
            )
        except MemoryError as error:
            self._read_less(missing[chains[0][0]], len(chains), error)
            return
        for chain, made in zip(chains, states, strict=True):
            for node, (state, size) in zip(chain, made, strict=True):
                count = 1 if state is node.state else len(node.tokens)
                self.tree.store(node, state, size)
                missing[node].read += count
                self.counters.prefilled += count
                self.counters.forwarded += count

    def _next_up(self) -> list[Want]:
        """Waiting work that could begin now, as far as room for rows goes."""
        room = self.max_rows - len(self._running)
        chosen = []
        for want in self._waiting:
            if want.rows and room <= 0:
                continue
            room -= len(want.rows)
            chosen.append(want)
        return chosen

    def _read_less(self, want: Want, chains: int, error: MemoryError) -> None:
        """Make room, or give up on what cannot be read even by itself."""
        if chains == 1 and not self._running and not self.tree.bytes:
            self._fail(want.job, "out of memory: the text is too long for this device", error)
        elif chains > 1:
            self._read_tokens = max(1, self._read_tokens // 2)
        elif self._running and self._shares:
            pass  # rows that end make room
        elif self._running:
            self._preempt(error)
        else:
            self._shrink_tree(want, error)

    def _shrink_tree(self, want: Want, error: MemoryError) -> None:
        """Let half of what was read go, or all but the path of `want`, or give up."""
        before, budget = self.tree.bytes, self.tree.budget
        self.tree.budget = before // 2
        self.tree.evict()
        self.tree.budget = budget
        if self.tree.bytes == before and not self.tree.forget(want.leaf):
            self._fail(want.job, "out of memory: the text is too long for this device", error)

    def _start(self) -> None:
        """Start the rows, and end the look-ups, whose paths are all there."""
        if not self._waiting:
            return
        starting: dict[Node, list[tuple[Row, Want]]] = {}
        waiting: list[Want] = []
        rows = len(self._running)
        tokens = sum(self._size(row) for row, _ in self._running)
        satisfied: list[Want] = []
        for want in self._waiting:
            if (want.rows and rows >= self.max_rows) or lacking(want, self.backend):
                waiting.append(want)
                continue
            while want.rows and rows < self.max_rows:
                size = self._size(want.rows[0])
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

    def _join(self, starting: dict[Node, list[tuple[Row, Want]]]) -> None:
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
        self._kinds = np.array([kind(row.marks) for row, _ in self._running], dtype=np.int64)

    def _decode(self) -> None:
        allowed = {
            number: row.allowed()
            for number, (row, _) in enumerate(self._running)
            if row.constrained
        }
        counts = {number: row.wanted for number, (row, _) in enumerate(self._running) if row.wanted}
        try:
            tokens, logprobs = self.backend.draw(allowed)
            likeliest = self.backend.likeliest(counts) if counts else {}
        except MemoryError as error:
            self._preempt(error)
            return
        notable = self._endings.notable(self._kinds, tokens)
        for number, ((row, _), token, logprob, flag) in enumerate(
            zip(self._running, tokens, logprobs, notable, strict=True)
        ):
            if row.feed is None:
                row.took(token, logprob, likeliest.get(number, ()))
                if flag or row.left <= 0:
                    self._endings.look(row)
                row.tell()
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
            if self._shares and self.tree.forget(rows[0][1].leaf):
                self.max_rows = 1  # or what is read for others would fill the room again
                return
            reason = "out of memory: one completion alone is too much for this device"
            self._fail(rows[0][1].job, reason, error)
            return
        self.max_rows = len(rows) // 2
        self._put_back(rows)

    def _put_back(self, pairs: Sequence[tuple[Row, Want]]) -> None:
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
    most = row.limit + row.thought_limit * row.opened
    return most if row.budget is None else min(most, row.budget)
