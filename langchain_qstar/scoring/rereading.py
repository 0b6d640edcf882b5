"""Log-probabilities of steps that came without any: their policy reads them once more.

A person's step, a passage that was retrieved, or a text out of a file has none. A head that
takes unknown log-probabilities for 0, that is for certainty, would be misled by those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from langchain_qstar.protocols import ScoreRequest, State, Step
from langchain_qstar.scoring.features import lacks_logprobs
from langchain_qstar.scoring.identity import ReadingPolicy

Places = dict[tuple[State, Step], Step]


def lacking(requests: Sequence[ScoreRequest]) -> list[tuple[State, Step]]:
    """The steps without log-probabilities, each with the state before it, earlier ones first."""
    found: dict[tuple[State, Step], None] = {}
    for request in requests:
        for place, step in enumerate(request.state.steps):
            if lacks_logprobs(step):
                found[_before(request.state, place), step] = None
    for request in requests:
        for step in request.steps:
            if lacks_logprobs(step):
                found[request.state, step] = None
    return list(found)


def reread(requests: Sequence[ScoreRequest], policy: ReadingPolicy) -> list[ScoreRequest]:
    """The requests with the log-probabilities that their steps lack.

    Args:
        requests: Steps of `policy`, or such as it could have written.
        policy: Reads them; only what it has not read yet costs a pass.

    Raises:
        ModelError: The policy failed.
    """
    places = lacking(requests)
    if not places:
        return list(requests)
    values = policy.token_logprobs([state for state, _ in places], [step for _, step in places])
    known = {
        place: replace(place[1], logprobs=tuple(found))
        for place, found in zip(places, values, strict=True)
    }
    return [_with(request, known) for request in requests]


def _with(request: ScoreRequest, known: Places) -> ScoreRequest:
    state = request.state
    before = (_before(state, place) for place in range(len(state.steps)))
    pairs = zip(before, state.steps, strict=True)
    steps = tuple(known.get((at, step), step) for at, step in pairs)
    taken = tuple(known.get((state, step), step) for step in request.steps)
    return ScoreRequest(replace(state, steps=steps), taken)


def _before(state: State, place: int) -> State:
    return replace(state, steps=state.steps[:place])
