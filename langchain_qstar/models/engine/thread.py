"""One thread per loaded model, and the queue in front of it.

Callers submit work from any thread or event loop and wait on a future. The
thread hands everything that is queued to its worker before each step of it, so
new work joins what is running. Nothing here knows what a step is.
"""

from __future__ import annotations

import os
import queue
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from langchain_qstar.errors import ModelError

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


class Worker(Protocol):
    """What runs on the thread of an engine."""

    @property
    def busy(self) -> bool:
        """Whether a `step` would do anything."""
        ...

    def begin(self) -> None:
        """Called once, when the thread starts."""
        ...

    def admit(self, job: Job) -> None:
        """Take a job; resolve or fail it now or in a later step."""
        ...

    def step(self) -> None:
        """Do a little of the work in hand."""
        ...

    def abandon(self) -> None:
        """Drop all work in hand and what it holds; somebody else fails the jobs."""
        ...

    def end(self) -> None:
        """Drop everything; nothing is called after it."""
        ...


class Engine:
    """A daemon thread that runs a worker.

    The thread starts with the first job and ends with `close`. It holds the
    worker and no reference to whoever owns the engine, so an owner can close it
    from a finaliser. If the thread dies, every waiting and every later job
    fails with `ModelError`, whose cause is what killed it. A process that is forked
    while the thread runs has a copy of everything but the thread, and of the libraries' own
    threads; there every job is refused.
    """

    def __init__(self, name: str, worker: Worker) -> None:
        """Prepare the engine; no thread is started yet.

        Args:
            name: Name of the thread, and of the model in error messages.
            worker: Does the jobs. What it raises as an `Exception` fails the
                jobs in hand only; anything worse ends the thread.
        """
        self.name = name
        self._worker = worker
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._ended: ModelError | None = None
        self._process = os.getpid()

    def submit(self, payload: Any) -> Future[Any]:
        """Queue `payload`.

        Returns:
            A future; cancelling it drops the job, also while it runs.

        Raises:
            ModelError: The engine is closed, its thread has died, or it ran before this process
                was forked.
        """
        if self._thread is not None and self._process != os.getpid():
            raise ModelError(
                f"model {self.name} ran before this process was forked, which its threads do not "
                "survive; make the chain in the new process (by its name a model is then loaded "
                'anew), or start processes with the method "spawn" or "forkserver"'
            )
        job = Job(payload)
        with self._lock:
            if self._ended is not None:
                raise self._ended
            if self._thread is None:
                self._process = os.getpid()
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()
            self._inbox.put(job)
        return job.future

    def close(self) -> None:
        """End the thread; waiting jobs fail with `ModelError`. May be repeated."""
        if self._process != os.getpid():
            return  # a copy, whose locks may be held for ever
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
        jobs: list[Job] = []
        try:
            self._worker.begin()
            while not self._closing.is_set():
                jobs = [job for job in jobs if not job.future.done()]
                new = self._take(wait=not self._worker.busy)
                jobs += new
                self._advance(new, jobs)
        except BaseException as error:  # noqa: BLE001 - callers would wait for ever
            ended = ModelError(f"the thread of model {self.name} died: {error!r}")
            ended.__cause__ = error
        finally:
            self._end(ended, jobs)

    def _advance(self, new: list[Job], jobs: list[Job]) -> None:
        try:
            for job in new:
                self._worker.admit(job)
            self._worker.step()
        except Exception as error:  # noqa: BLE001 - raised again in every caller
            self._worker.abandon()
            failed = ModelError(f"model {self.name} failed: {error}")
            failed.__cause__ = error
            for job in jobs:
                job.fail(failed)

    def _take(self, *, wait: bool) -> list[Job]:
        """All jobs that are queued; with `wait`, at least one unless the engine is closed."""
        jobs: list[Job] = []
        with suppress(queue.Empty):
            while True:
                job = self._inbox.get() if wait and not jobs else self._inbox.get_nowait()
                if job is None:
                    break
                if not job.cancelled:
                    jobs.append(job)
        return jobs

    def _end(self, reason: ModelError, jobs: list[Job]) -> None:
        with self._lock:
            self._ended = self._ended or reason
            while True:
                try:
                    job = self._inbox.get_nowait()
                except queue.Empty:
                    break
                if job is not None:
                    jobs.append(job)
        for job in jobs:
            job.fail(reason)
        with suppress(Exception):  # a dead device must not hide why it died
            self._worker.end()
