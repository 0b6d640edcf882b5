"""Waiting no longer than the time allows, for what does not look at a clock itself.

In threads, what is waited for runs on one of its own, which is left behind when the time is
over: whatever it waits for by `stopping.wait`, such as the reply of a server, is cancelled; a
model that computes there ends in its own time, and nobody hears of it. In coroutines it is
cancelled.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent import futures
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import copy_context
from typing import TypeVar

from langchain_qstar.spending.allowance import Allowance, current
from langchain_qstar.stopping import LOOK_SECONDS, is_stopped, stopped_when, wait

T = TypeVar("T")


class OutOfTimeError(Exception):
    """The time was over before there was a result. Whoever asked goes on without."""


def in_time(work: Callable[[], T]) -> T:
    """What `work` returns.

    Raises:
        OutOfTimeError: The time is over.
    """
    allowance = current()
    if allowance is None or allowance.deadline is None:
        return work()
    _check(allowance)
    with stopped_when(lambda: allowance.gives_up):
        try:
            return wait(_started(work))
        except CancelledError:
            _check(allowance)
            raise


async def ain_time(work: Callable[[], Awaitable[T]]) -> T:
    """As `in_time`, without blocking the event loop."""
    allowance = current()
    if allowance is None or allowance.deadline is None:
        return await work()
    _check(allowance)
    task = asyncio.ensure_future(work())
    try:
        while not task.done():
            _check(allowance)
            await asyncio.wait([task], timeout=LOOK_SECONDS)
        return task.result()
    finally:
        if task.cancel():
            await asyncio.wait([task])


def _check(allowance: Allowance) -> None:
    if allowance.gives_up:
        allowance.cut_by("seconds")
        raise OutOfTimeError


def _started(work: Callable[[], T]) -> Future[T]:
    """`work` on a thread of its own, in a copy of this context."""
    future: Future[T] = Future()
    context = copy_context()

    def run() -> None:
        with suppress(InvalidStateError):  # nobody waits any more
            try:
                future.set_result(context.run(work))
            except InvalidStateError:
                raise
            except BaseException as error:  # noqa: BLE001 - raised again in whoever waits
                future.set_exception(error)

    # A daemon, so that a model that is left behind does not keep the process from ending.
    threading.Thread(target=run, name="in time", daemon=True).start()
    return future


async def unless_late(work: Callable[[], Awaitable[T]]) -> T | None:
    """What `work` returns; None where the time is over first, and it is cancelled.

    For a model that keeps the time itself (`KeepsTime`): what else it asked is not given up.
    """
    return (await aeach_in_time([work], 1))[0]


def each_in_time(work: Sequence[Callable[[], T]], most: int) -> list[T | None]:
    """What each of `work` returns, `most` of them at a time; None where the time is over first.

    Raises:
        CancelledError: The wait was told to stop.
    """
    allowance = current()
    pool = ThreadPoolExecutor(max(1, min(most, len(work))))
    begun: set[int] = set()

    def run(number: int) -> T:
        begun.add(number)
        return work[number]()

    try:
        asked = [pool.submit(copy_context().run, run, number) for number in range(len(work))]
        waiting = set(asked)
        with _ends_itself(allowance):
            while waiting and not (allowance is not None and allowance.is_over):
                if is_stopped():
                    raise CancelledError
                waiting = futures.wait(waiting, LOOK_SECONDS).not_done
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    late = {number for number, each in enumerate(asked) if each in waiting}
    _note(allowance, len(late & begun), late=bool(late))
    return [None if number in late else each.result() for number, each in enumerate(asked)]


async def aeach_in_time(work: Sequence[Callable[[], Awaitable[T]]], most: int) -> list[T | None]:
    """As `each_in_time`, without blocking the event loop; what is late is cancelled."""
    allowance = current()
    places = asyncio.Semaphore(max(1, most))
    begun: set[int] = set()

    async def run(number: int) -> T:
        async with places:
            begun.add(number)
            return await work[number]()

    tasks = [asyncio.ensure_future(run(number)) for number in range(len(work))]
    waiting = set(tasks)
    try:
        with _ends_itself(allowance):
            while waiting and not (allowance is not None and allowance.is_over):
                _, waiting = await asyncio.wait(waiting, timeout=LOOK_SECONDS)
    finally:
        for each in waiting:
            each.cancel()
        if waiting:
            await asyncio.wait(waiting)
    late = {number for number, each in enumerate(tasks) if each in waiting}
    _note(allowance, len(late & begun), late=bool(late))
    return [None if number in late else each.result() for number, each in enumerate(tasks)]


def _ends_itself(allowance: Allowance | None) -> AbstractContextManager[None]:
    return nullcontext() if allowance is None else allowance.ends_itself()


def _note(allowance: Allowance | None, unheard: int, *, late: bool) -> None:
    if allowance is not None and late:
        allowance.unheard += unheard
        allowance.cut_by("seconds")
