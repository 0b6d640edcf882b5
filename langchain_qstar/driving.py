"""Logic that is written once, as a generator, and waits for what it asks for as it must.

It yields what it wants done, is sent the result, and returns; whoever drives it waits, in a
thread or in a coroutine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")
Asked = TypeVar("Asked")
"""What a generator wants done."""


def drive(steps: Generator[Asked, Any, T], run: Callable[[Asked], Any]) -> T:
    """What `steps` returns, with all that it asks for done by `run`."""
    result = None
    while True:
        try:
            call = steps.send(result)
        except StopIteration as end:
            returned: T = end.value
            return returned
        result = run(call)


async def adrive(steps: Generator[Asked, Any, T], run: Callable[[Asked], Awaitable[Any]]) -> T:
    """As `drive`, without blocking the event loop."""
    result = None
    while True:
        try:
            call = steps.send(result)
        except StopIteration as end:
            returned: T = end.value
            return returned
        result = await run(call)
