"""An event loop on a thread of its own, for callers with and without one of theirs.

So one client, with its open connections and its limits, serves every thread and
every `asyncio.run` of a process.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

T = TypeVar("T")
Farewell = Callable[[], Coroutine[Any, Any, None]]

JOIN_SECONDS: Final = 5.0
"""How long `close` waits for the thread."""


class LoopThread:
    """Runs coroutines; begins with the first and ends with `close`.

    A process that is forked has no such thread; there it begins anew.
    """

    def __init__(self, name: str, farewell: Farewell) -> None:
        """Name the thread; nothing runs yet.

        Args:
            name: Of the thread.
            farewell: What runs on the thread last.
        """
        self._name = name
        self._farewell = farewell
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def close(self) -> None:
        """Cancel what runs and end the thread."""
        if self._process != os.getpid():
            return  # a copy: the thread is the other process's
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        # A finalizer may run on any thread, this one too.
        if thread is not threading.current_thread():
            thread.join(JOIN_SECONDS)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop, self._farewell), name=self._name, daemon=True
                )
                self._thread.start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop, farewell: Farewell) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(farewell())
    finally:
        loop.close()
