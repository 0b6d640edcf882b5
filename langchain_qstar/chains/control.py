"""Ending a run whose stream nobody reads any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langgraph.runtime import RunControl, Runtime, get_runtime


class Closing(RunControl):
    """Drains a run when its stream is left, and when whoever is around it drains."""

    __slots__ = ("_outer",)

    def __init__(self, outer: RunControl | None) -> None:
        super().__init__()
        self._outer = outer or _around()

    @property
    def drain_requested(self) -> bool:
        """Whether the run shall end at the next superstep."""
        return super().drain_requested or (self._outer is not None and self._outer.drain_requested)

    @property
    def drain_reason(self) -> str | None:
        """Why, or None."""
        if self._outer is not None and self._outer.drain_requested:
            return self._outer.drain_reason
        return super().drain_reason

    @contextmanager
    def left_early(self) -> Iterator[None]:
        """Drain when the body is left by an exception, as a generator that is closed is."""
        try:
            yield
        except BaseException:
            self.request_drain("the stream was left")
            raise


def _around() -> RunControl | None:
    """The control of the graph that this code is a part of, if any."""
    try:
        runtime: Runtime[None] | None = get_runtime()
    except (RuntimeError, KeyError):
        return None
    return None if runtime is None else runtime.control
