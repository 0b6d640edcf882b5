"""Asking for the next step in words: for models that answer, and do not continue a text.

The steps so far are shown as part of the last message, and the reply is cut to
what was asked for. A whole solution of which nothing is written yet is asked for by the
task's own messages alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from langchain_qstar.prompting import Prompt, load_prompt
from langchain_qstar.protocols import Finish, Image, SampleRequest

_NO_STEPS: Final = "(none yet)"

Messages = list[tuple[str, str]]


_HOLES: Final = {
    "next_step": {"problem", "steps"},
    "next_line": {"problem", "lines", "prefill"},
    "remaining_steps": {"problem", "steps"},
    "continuation": {"problem", "text"},
    "opening": {"request", "prefill"},
}


@cache
def _prompt(name: str) -> Prompt:
    return load_prompt(name, _HOLES[name])


def instruction(request: SampleRequest) -> Messages:
    """The request's chat as (role, content), its last message asking for what comes next."""
    state = request.state
    *before, (role, problem) = state.messages or (("user", state.question),)
    if request.whole and not state.text.strip():
        return [*before, (role, _begun(request, problem))]
    return [*before, (role, _asked(request, problem, state.text.strip() or _NO_STEPS))]


def shown_with(text: str, images: Sequence[Image]) -> str | list[str | dict[Any, Any]]:
    """The content of a chat message: a text, after the images that it is about."""
    if not images:
        return text
    return [*(dict(each) for each in images), {"type": "text", "text": text}]


def _begun(request: SampleRequest, content: str) -> str:
    """What asks for a text, with how the reply is to begin, if that is given."""
    if not request.prefill:
        return content
    return _prompt("opening").fill(request=content, prefill=request.prefill)


def _asked(request: SampleRequest, problem: str, written: str) -> str:
    """What asks for the rest of a text, or for its next line, which may be begun."""
    if request.whole:
        return _begun(request, _rest(problem, request.state.text, written))
    if request.prefill:
        return _prompt("next_line").fill(problem=problem, lines=written, prefill=request.prefill)
    return _prompt("next_step").fill(problem=problem, steps=written)


def _rest(problem: str, text: str, written: str) -> str:
    """What asks for the rest of a text; one that breaks off within a line is continued there."""
    if text.strip() and not text.endswith("\n"):
        return _prompt("continuation").fill(problem=problem, text=written)
    return _prompt("remaining_steps").fill(problem=problem, steps=written)


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
        text = _opened(request.prefill, text)
    if not text.strip():
        return "", "length" if cut else "eos"
    if not (request.stop or request.ends):
        return text, "length" if cut else "eos"
    if end := request.end_in(text):
        return text[:end], "stop"
    if cut:
        return text, "length"
    if request.whole:
        return text, "eos"
    return text.rstrip() + (request.stop[0] if request.stop else "\n"), "stop"


def _opened(prefill: str, reply: str) -> str:
    """A reply with its opening, whether it repeats that or goes on from there."""
    rest = reply.removeprefix(prefill)
    apart = "" if prefill[-1:].isspace() or rest[:1].isspace() else " "
    return prefill + apart + rest


def estimated_tokens(text: str) -> int:
    """A token per four characters, as English has on average."""
    return -(-len(text) // 4)
