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
from typing import Final, TypeVar

LOOK_SECONDS: Final = 0.05
"""How long a wait goes on before it looks whether it should stop."""

T = TypeVar("T")
_asked: ContextVar[Callable[[], bool] | None] = ContextVar("stop_asked", default=None)


@contextmanager
def stopped_when(asked: Callable[[], bool]) -> Iterator[None]:
    """Let every `wait` in this context stop once `asked()` is true."""
    token = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(token)


def wait(future: Future[T]) -> T:
    """The result of `future`; a wait that is interrupted or stopped cancels it.

    Raises:
        CancelledError: The wait was told to stop, or somebody else cancelled the future.
    """
    asked = _asked.get()
    try:
        if asked is None:
            return future.result()
        while True:
            try:
                return future.result(LOOK_SECONDS)
            except TimeoutError:
                if future.done():  # its own time-out, not ours
                    raise
                if asked():
                    raise CancelledError from None
    except BaseException:
        future.cancel()
        raise
