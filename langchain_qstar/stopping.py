"""Waiting that can be stopped: for threads, which nobody can interrupt from outside.

A node of a search says when to stop (`stopped_when`), and whoever waits for a model
below it (`wait`) looks every now and then. Stopping cancels what was waited for, which an
engine notices between two tokens. Coroutines need none of this; they are cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Final, TypeVar

LOOK_SECONDS: Final = 0.05
"""How long a wait goes on before it looks whether it should stop."""

T = TypeVar("T")
_asked: ContextVar[Callable[[], bool] | None] = ContextVar("stop_asked", default=None)


@contextmanager
def stopped_when(asked: Callable[[], bool]) -> Iterator[None]:
    """Let every `wait` in this context stop once `asked()` is true, or what was asked before."""
    outer = _asked.get()
    token = _asked.set(asked if outer is None else lambda: outer() or asked())
    try:
        yield
    finally:
        _asked.reset(token)


def is_stopped() -> bool:
    """Whether what waits here is to stop."""
    asked = _asked.get()
    return asked is not None and asked()


def wait(future: Future[T], timeout: float | None = None) -> T:
    """The result of `future`; a wait that is interrupted or stopped cancels it.

    Args:
        future: What is waited for.
        timeout: Most seconds to wait; None is for ever.

    Raises:
        CancelledError: The wait was told to stop, or somebody else cancelled the future.
        TimeoutError: `timeout` has passed.
    """
    asked = _asked.get()
    end = None if timeout is None else monotonic() + timeout
    try:
        if asked is None:
            return future.result(timeout)
        while True:
            left = LOOK_SECONDS if end is None else min(LOOK_SECONDS, max(0.0, end - monotonic()))
            try:
                return future.result(left)
            except TimeoutError:
                if future.done() or (end is not None and monotonic() >= end):
                    raise  # its own time-out, or the caller's
                if asked():
                    raise CancelledError from None
    except BaseException:
        future.cancel()
        raise
