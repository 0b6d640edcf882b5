"""Telling what a model writes while it writes it, where the run asks for it.

A run asks with `stream_tokens` among its `configurable`: every token of every sample is then
an event, so it is off by default. Only a model on an engine of ours can tell (`Streams`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from langchain_core.runnables.config import var_child_runnable_config
from langgraph.config import get_stream_writer

from langchain_qstar.protocols import Completion, Policy, SampleRequest, Streams
from langchain_qstar.state.events import WritingEvent

ASKED_BY: Final = "stream_tokens"
"""The key of `configurable`."""


def sampled(policy: Policy, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
    """What `policy.sample` returns."""
    tell = _teller()
    if tell is None or not isinstance(policy, Streams):
        return policy.sample(requests)
    return policy.sample_aloud(requests, tell)


async def asampled(policy: Policy, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
    """As `sampled`, without blocking the event loop."""
    tell = _teller()
    if tell is None or not isinstance(policy, Streams):
        return await policy.asample(requests)
    return await policy.asample_aloud(requests, tell)


def _teller() -> Callable[[int, int, str], None] | None:
    """Writes an event of each piece; None where the run does not ask."""
    config = var_child_runnable_config.get() or {}
    if not config.get("configurable", {}).get(ASKED_BY):
        return None
    write = get_stream_writer()
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
            write(event)

    return tell
