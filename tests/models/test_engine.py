from __future__ import annotations

import threading

import pytest

from langchain_qstar.errors import ModelError
from langchain_qstar.models.engine import Engine, Job


def double(jobs, closing):
    for job in jobs:
        job.resolve(job.payload * 2)


def test_jobs_are_resolved():
    engine = Engine("double", double)
    assert [future.result(30) for future in map(engine.submit, range(5))] == [0, 2, 4, 6, 8]
    engine.close()


def test_what_is_queued_is_served_together():
    first, go_on = threading.Event(), threading.Event()
    batches = []

    def serve(jobs, closing):
        batches.append(len(jobs))
        first.set()
        assert go_on.wait(30)
        double(jobs, closing)

    engine = Engine("batches", serve)
    futures = [engine.submit(0)]
    assert first.wait(30)
    futures += [engine.submit(n) for n in range(7)]
    go_on.set()
    for future in futures:
        future.result(30)
    engine.close()
    assert batches == [1, 7]


def test_a_batch_waits_for_as_many_callers_as_the_last_one_answered(monkeypatch):
    monkeypatch.setattr("langchain_qstar.models.engine.GRACE_SECONDS", 30)
    engine = Engine("patient", double)
    first, late = Job(1), Job(2)
    engine._inbox.put(first)
    timer = threading.Timer(0.01, engine._inbox.put, [late])
    timer.start()
    assert engine._take(expected=2) == [first, late]
    timer.join()


def test_a_single_caller_never_waits(monkeypatch):
    monkeypatch.setattr("langchain_qstar.models.engine.GRACE_SECONDS", 10**6)
    engine = Engine("single", double)
    job = Job(1)
    engine._inbox.put(job)
    assert engine._take(expected=1) == [job]


def test_cancelled_jobs_are_not_served():
    first, go_on = threading.Event(), threading.Event()
    served: list[str] = []

    def serve(jobs, closing):
        first.set()
        assert go_on.wait(30)
        served.extend(job.payload for job in jobs)
        double(jobs, closing)

    engine = Engine("cancelled", serve)
    head = engine.submit("a")
    assert first.wait(30)
    dropped, kept = engine.submit("b"), engine.submit("c")
    dropped.cancel()
    go_on.set()
    assert (head.result(30), kept.result(30)) == ("aa", "cc")
    engine.close()
    assert served == ["a", "c"]


def test_a_result_for_a_caller_who_left_is_dropped():
    job = Job(1)
    job.future.cancel()
    job.resolve(2)
    job.fail(ModelError("late"))
    assert job.cancelled


def test_closing_twice_is_closing_once():
    engine = Engine("closed", double)
    engine.close()
    engine.close()
    with pytest.raises(ModelError, match="closed"):
        engine.submit(1)


def test_closing_waits_for_the_thread_and_fails_what_waits():
    entered = threading.Event()

    def serve(jobs, closing):
        entered.set()
        while not closing():
            threading.Event().wait(0.001)

    engine = Engine("endless", serve)
    running, entered_now = engine.submit(1), entered.wait(30)
    waiting = engine.submit(2)
    engine.close()
    assert entered_now
    for future in (running, waiting):
        with pytest.raises(ModelError, match="closed"):
            future.result(30)


def test_a_dead_thread_fails_what_waits_and_what_comes_later():
    first, go_on = threading.Event(), threading.Event()

    def serve(jobs, closing):
        first.set()
        assert go_on.wait(30)
        raise KeyboardInterrupt

    engine = Engine("dead", serve)
    running = engine.submit(1)
    assert first.wait(30)
    waiting = engine.submit(2)
    go_on.set()
    for future in (running, waiting):
        with pytest.raises(ModelError, match="died: KeyboardInterrupt"):
            future.result(30)
    with pytest.raises(ModelError, match="died"):
        engine.submit(3)
