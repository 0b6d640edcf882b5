"""Asking for the next step in words: for models that answer, and do not continue a text.

The steps so far are shown as part of the last message, and the reply is cut to
what was asked for.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from langchain_qstar.prompting import Prompt, load_prompt
from langchain_qstar.protocols import Finish, SampleRequest

_NO_STEPS: Final = "(none yet)"

Messages = list[tuple[str, str]]


@cache
def _prompt(name: str) -> Prompt:
    holes = {"request", "prefill"} if name == "opening" else {"problem", "steps"}
    return load_prompt(name, holes)


def instruction(request: SampleRequest) -> Messages:
    """The request's chat as (role, content), its last message asking for what comes next."""
    state = request.state
    *before, (role, problem) = state.messages or (("user", state.question),)
    prompt = _prompt("next_step" if request.stop else "remaining_steps")
    content = prompt.fill(problem=problem, steps=state.text.strip() or _NO_STEPS)
    if request.prefill:
        content = _prompt("opening").fill(request=content, prefill=request.prefill)
    return [*before, (role, content)]


def kept(text: str, request: SampleRequest, *, cut: bool) -> tuple[str, Finish]:
    """The part of a reply that is the completion, and how it ended.

    Providers remove the stop string that ended a reply; it is put back, so that
    the texts of steps join to a trajectory.

    Args:
        text: The reply.
        request: What was asked for.
        cut: Whether the reply ended because it was as long as allowed.
    """
    text = text.lstrip()
    if request.prefill:
        text = request.prefill + text.removeprefix(request.prefill)
    if not text.strip():
        return "", "length" if cut else "eos"
    if not request.stop:
        return text, "length" if cut else "eos"
    if end := first_end(text, request):
        return text[:end], "stop"
    if cut:
        return text, "length"
    return text.rstrip() + request.stop[0], "stop"


def first_end(text: str, request: SampleRequest) -> int:
    """Where the first stop string after the prefill ends in `text`, 0 when there is none."""
    after = len(request.prefill)
    ends = (at + len(mark) for mark in request.stop if (at := text.find(mark, after)) >= 0)
    return min(ends, default=0)


def estimated_tokens(text: str) -> int:
    """A token per four characters, as English has on average."""
    return -(-len(text) // 4)
