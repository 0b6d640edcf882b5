"""Telling what a model writes while it writes it, where the run asks for it.

A run asks with `stream_tokens` among its `configurable`: every token of every sample is then
an event, so it is off by default. Only a model on an engine of ours can tell (`Audible`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import Final

from langchain_core.runnables.config import var_child_runnable_config
from langgraph.config import get_stream_writer

from langchain_qstar.protocols import Audible, Completion, Listener, Policy, SampleRequest
from langchain_qstar.state.events import WritingEvent

ASKED_BY: Final = "stream_tokens"
"""The key of `configurable`."""


def sampled(
    policy: Policy,
    requests: Sequence[SampleRequest],
    finished: Callable[[int, str], None] | None = None,
) -> list[list[Completion]]:
    """What `policy.sample` returns; `finished` hears of its completions as `Listener` says."""
    listener = Listener(_teller(), finished)
    speaker = audible(policy)
    if speaker and listener:
        return speaker.sample_aloud(requests, listener)
    return policy.sample(requests)


async def asampled(
    policy: Policy,
    requests: Sequence[SampleRequest],
    finished: Callable[[int, str], None] | None = None,
) -> list[list[Completion]]:
    """As `sampled`, without blocking the event loop."""
    listener = Listener(_teller(), finished)
    speaker = audible(policy)
    if speaker and listener:
        return await speaker.asample_aloud(requests, listener)
    return await policy.asample(requests)


def audible(policy: Policy) -> Audible | None:
    """`policy`, if it tells by itself: one that stands in for another must be asked itself."""
    tells = hasattr(type(policy), "sample_aloud")
    return policy if tells and isinstance(policy, Audible) else None


def _teller() -> Callable[[int, int, str], None] | None:
    """Writes an event of each piece; None where the run does not ask."""
    config = var_child_runnable_config.get() or {}
    if not config.get("configurable", {}).get(ASKED_BY):
        return None
    write = get_stream_writer()
    here = copy_context()  # the engine's thread knows nothing of the run
    node = str(config.get("metadata", {}).get("langgraph_node", ""))

    def tell(request: int, sample: int, text: str) -> None:
        event: WritingEvent = {
            "type": "writing",
            "node": node,
            "request": request,
            "sample": sample,
            "text": text,
        }
        with suppress(RuntimeError):  # the loop of a cancelled run is closed: nobody listens
            here.copy().run(write, event)

    return tell
