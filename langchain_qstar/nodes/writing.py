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
from langchain_qstar.spending.drawing import Round, adraw, draw
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
    if not (speaker and listener):
        return draw(policy, requests)
    return draw(
        policy, requests, lambda one: speaker.sample_aloud(one.requests, _heard(listener, one))
    )


async def asampled(
    policy: Policy,
    requests: Sequence[SampleRequest],
    finished: Callable[[int, str], None] | None = None,
) -> list[list[Completion]]:
    """As `sampled`, without blocking the event loop."""
    listener = Listener(_teller(), finished)
    speaker = audible(policy)
    if not (speaker and listener):
        return await adraw(policy, requests)
    return await adraw(
        policy, requests, lambda one: speaker.asample_aloud(one.requests, _heard(listener, one))
    )


def _heard(listener: Listener, one: Round) -> Listener:
    """Hears a round, and tells `listener` by the numbers of the caller's requests.

    Of a text that is gone on with in a round it tells the pieces, and not the end.
    """
    piece, finished = listener.piece, listener.finished

    def tell_piece(request: int, sample: int, text: str) -> None:
        assert piece is not None
        piece(*one.places[request][sample], text)

    def tell_end(request: int, text: str) -> None:
        assert finished is not None
        if not one.goes_on[request]:
            finished(one.places[request][0][0], text)

    return Listener(piece and tell_piece, finished and tell_end)


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
