from __future__ import annotations

import threading

import pytest

from langchain_qstar.errors import ModelError
from langchain_qstar.models.engine.thread import Engine, Job


class Doubler:
    """Doubles one number a step, and notes what it is told."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.admitted: list[int] = []
        self.told: list[str] = []
        self.before_step = lambda: None

    @property
    def busy(self):
        return bool(self.jobs)

    def begin(self):
        self.told.append("begin")

    def admit(self, job):
        self.admitted.append(job.payload)
        self.jobs.append(job)

    def step(self):
        self.before_step()
        self.jobs = [job for job in self.jobs if not job.cancelled]
        if self.jobs:
            job = self.jobs.pop(0)
            job.resolve(job.payload * 2)

    def abandon(self):
        self.told.append("abandon")
        self.jobs.clear()

    def end(self):
        self.told.append("end")


@pytest.fixture
def worker():
    return Doubler()


@pytest.fixture
def engine(worker):
    made = Engine("doubler", worker)
    yield made
    made.close()


@pytest.fixture
def gate(worker):
    """Steps wait until it is opened; `reached` says that one does."""

    class Gate:
        reached, opened = threading.Event(), threading.Event()

    def wait():
        Gate.reached.set()
        assert Gate.opened.wait(30)

    worker.before_step = wait
    yield Gate
    Gate.opened.set()


def test_jobs_are_resolved(engine):
    assert [future.result(30) for future in map(engine.submit, range(5))] == [0, 2, 4, 6, 8]


def test_work_is_admitted_while_other_work_runs(engine, worker, gate):
    futures = [engine.submit(0)]
    assert gate.reached.wait(30)
    futures += [engine.submit(n) for n in range(1, 8)]
    gate.opened.set()
    for future in futures:
        future.result(30)
    assert worker.admitted == list(range(8))
    assert worker.told == ["begin"]


def test_jobs_cancelled_in_the_queue_are_never_admitted(engine, worker, gate):
    head = engine.submit(1)
    assert gate.reached.wait(30)
    dropped, kept = engine.submit(2), engine.submit(3)
    dropped.cancel()
    gate.opened.set()
    assert (head.result(30), kept.result(30)) == (2, 6)
    assert worker.admitted == [1, 3]


def test_a_result_for_a_caller_who_left_is_dropped():
    job = Job(1)
    job.future.cancel()
    job.resolve(2)
    job.fail(ModelError("late"))
    assert job.cancelled


def test_a_failing_step_fails_what_is_in_hand_and_nothing_later(engine, worker):
    def fail():
        raise ValueError("overheated")

    worker.before_step = fail
    with pytest.raises(ModelError, match="model doubler failed: overheated") as caught:
        engine.submit(1).result(30)
    assert isinstance(caught.value.__cause__, ValueError)
    worker.before_step = lambda: None
    assert engine.submit(2).result(30) == 4
    assert worker.told == ["begin", "abandon"]


def test_closing_twice_is_closing_once(engine):
    engine.close()
    engine.close()
    with pytest.raises(ModelError, match="closed"):
        engine.submit(1)


def test_closing_waits_for_the_thread_and_fails_what_waits(engine, worker):
    entered = threading.Event()
    worker.jobs.append(Job(0))
    worker.step = entered.set  # never gets anything done
    running = engine.submit(1)
    assert entered.wait(30)
    waiting = engine.submit(2)
    engine.close()
    for future in (running, waiting):
        with pytest.raises(ModelError, match="closed"):
            future.result(30)
    assert worker.told == ["begin", "end"]
    assert not [thread for thread in threading.enumerate() if thread.name == "doubler"]


def test_a_dead_thread_fails_what_waits_and_what_comes_later_with_its_cause(engine, worker):
    reached, opened = threading.Event(), threading.Event()

    def die():
        reached.set()
        assert opened.wait(30)
        raise KeyboardInterrupt

    worker.before_step = die
    running = engine.submit(1)
    assert reached.wait(30)
    waiting = engine.submit(2)
    opened.set()
    for future in (running, waiting):
        with pytest.raises(ModelError, match="died: KeyboardInterrupt") as caught:
            future.result(30)
        assert isinstance(caught.value.__cause__, KeyboardInterrupt)
    with pytest.raises(ModelError, match="died"):
        engine.submit(3)
