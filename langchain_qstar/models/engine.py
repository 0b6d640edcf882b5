"""One thread per loaded model, and the queue in front of it.

Callers submit work from any thread or event loop and wait on a future. The
thread takes everything that is queued as one batch, because rows of a batch
are nearly free next to the weights they share. Nothing here knows torch.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_qstar.errors import ModelError

GRACE_SECONDS: Final = 0.005
"""How long a batch waits for callers that the previous batch answered."""

JOIN_SECONDS: Final = 5.0


@dataclass(eq=False, slots=True)
class Job:
    """One piece of work and the future its caller waits on."""

    payload: Any
    future: Future[Any] = field(default_factory=Future)

    @property
    def cancelled(self) -> bool:
        """True once the caller no longer waits; checked between tokens."""
        return self.future.cancelled()

    def resolve(self, value: Any) -> None:
        """Hand `value` to the caller, unless it has gone."""
        with suppress(InvalidStateError):
            self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Raise `error` in the caller, unless it has gone or has its result."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)


Serve = Callable[[list[Job], Callable[[], bool]], None]
"""`(jobs, closing)`: resolve every job; return early once `closing()` is true."""


class Engine:
    """A daemon thread that serves batches of jobs.

    The thread starts with the first job and ends with `close`. It holds the
    `serve` callable and no reference to whoever owns the engine, so an owner
    can close it from a finaliser. If the thread dies, every waiting and every
    later job fails with `ModelError`.
    """

    def __init__(self, name: str, serve: Serve) -> None:
        """Prepare the engine; no thread is started yet.

        Args:
            name: Name of the thread, and of the model in error messages.
            serve: Resolves a batch of jobs. What it raises as an `Exception`
                fails the jobs of that batch only; anything worse ends the
                thread.
        """
        self.name = name
        self._serve = serve
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._ended: ModelError | None = None

    def submit(self, payload: Any) -> Future[Any]:
        """Queue `payload`.

        Returns:
            A future; cancelling it drops the job, also while it runs.

        Raises:
            ModelError: The engine is closed or its thread has died.
        """
        job = Job(payload)
        with self._lock:
            if self._ended is not None:
                raise self._ended
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()
            self._inbox.put(job)
        return job.future

    def close(self) -> None:
        """End the thread; waiting jobs fail with `ModelError`. May be repeated."""
        self._closing.set()
        with self._lock:
            if self._ended is None:
                self._ended = ModelError(f"model {self.name} was closed")
            thread = self._thread
        self._inbox.put(None)
        # A finaliser may run on the engine's own thread, which cannot join itself.
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        ended = ModelError(f"model {self.name} was closed")
        batch: list[Job] = []
        try:
            while not self._closing.is_set():
                batch = self._take(expected=len(batch))
                if batch:
                    self._serve_batch(batch)
        except BaseException as error:  # noqa: BLE001 - callers would wait for ever
            ended = ModelError(f"the thread of model {self.name} died: {error!r}")
            ended.__cause__ = error
        finally:
            self._end(ended, batch)

    def _serve_batch(self, batch: list[Job]) -> None:
        try:
            self._serve(batch, self._closing.is_set)
        except Exception as error:  # noqa: BLE001 - raised again in every caller
            failed = ModelError(f"model {self.name} failed: {error}")
            failed.__cause__ = error
            for job in batch:
                job.fail(failed)

    def _take(self, expected: int) -> list[Job]:
        """Wait for a job, then take all that is queued.

        Callers answered together come back together, a little apart. Waiting a
        moment for as many as last time keeps them in one batch; a single
        caller never waits.
        """
        jobs: list[Job] = []
        deadline = None
        while True:
            try:
                if deadline is None:
                    job = self._inbox.get()
                    deadline = time.monotonic() + GRACE_SECONDS
                elif len(jobs) < expected:
                    job = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
                else:
                    job = self._inbox.get_nowait()
            except queue.Empty:
                return jobs
            if job is None:
                return jobs
            if not job.cancelled:
                jobs.append(job)

    def _end(self, reason: ModelError, batch: list[Job]) -> None:
        with self._lock:
            self._ended = self._ended or reason
            while True:
                try:
                    job = self._inbox.get_nowait()
                except queue.Empty:
                    break
                if job is not None:
                    batch.append(job)
        for job in batch:
            job.fail(reason)
