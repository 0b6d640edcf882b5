from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from langchain_qstar.models.remote.loop_thread import LoopThread


@pytest.fixture
def thread():
    said: list[str] = []

    async def farewell():
        said.append(threading.current_thread().name)

    made = LoopThread("talker", farewell)
    yield made, said
    made.close()


async def where():
    return threading.current_thread().name


def test_coroutines_run_on_one_thread_of_that_name(thread):
    made, _ = thread
    assert {made.submit(where()).result() for _ in range(3)} == {"talker"}


def test_closing_cancels_what_runs_and_says_farewell(thread):
    made, said = thread
    waiting = made.submit(asyncio.sleep(60))
    made.submit(where()).result()
    made.close()
    with pytest.raises(CancelledError):
        waiting.result()
    assert said == ["talker"]
    assert "talker" not in {each.name for each in threading.enumerate()}


def test_cancelling_a_future_cancels_its_coroutine(thread):
    made, _ = thread
    ended = threading.Event()

    async def wait():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    future = made.submit(wait())
    made.submit(where()).result()
    future.cancel()
    assert ended.wait(10)


def test_closing_twice_or_before_the_first_use_does_nothing(thread):
    made, said = thread
    made.close()
    made.close()
    assert said == []


def test_closing_from_its_own_thread_does_not_wait_for_itself(thread):
    made, _ = thread

    async def close():
        made.close()

    assert made.submit(close()).result(10) is None
