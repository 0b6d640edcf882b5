from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future

import pytest

from langchain_qstar.stopping import stopped_when, wait


def test_a_wait_returns_the_result_or_raises_the_error():
    done: Future[int] = Future()
    done.set_result(3)
    assert wait(done) == 3
    failed: Future[int] = Future()
    failed.set_exception(TimeoutError("of the job"))
    with stopped_when(lambda: False), pytest.raises(TimeoutError, match="of the job"):
        wait(failed)


def test_a_wait_that_is_told_to_stop_cancels_what_it_waits_for():
    future: Future[int] = Future()
    with stopped_when(lambda: True), pytest.raises(CancelledError):
        wait(future)
    assert future.cancelled()


def test_a_wait_that_may_stop_but_is_not_told_to_gets_the_result():
    future: Future[int] = Future()
    threading.Timer(0.1, lambda: future.set_result(5)).start()
    with stopped_when(lambda: False):
        assert wait(future) == 5


def test_outside_nobody_stops_a_wait():
    with stopped_when(lambda: True):
        pass
    future: Future[int] = Future()
    threading.Timer(0.1, lambda: future.set_result(5)).start()
    assert wait(future) == 5
