"""Cutting a sampled solution into the steps that a search would have made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from langchain_qstar.protocols import Completion, Policy, Step, Task
from langchain_qstar.stepping.splitting import pieces


@runtime_checkable
class TokenTexts(Protocol):
    """A policy that knows which part of a text each token made."""

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """The text each token adds; joined, they are the text of `ids`."""
        ...


def split_steps(
    completion: Completion, task: Task, policy: Policy | None = None
) -> tuple[Step, ...]:
    """The steps of a whole solution, up to and including the one that ends it.

    Blank lines belong to the step before them. A step keeps its token ids and
    log-probabilities when `policy` can tell which token made which text and no
    token reaches across the step's ends; otherwise it has none. Of a policy that cannot
    tell, as behind a server, the log-probabilities are dealt to the steps in order by
    the length of their texts, which is right but for a token or two at each end.

    Args:
        completion: A sampled solution.
        task: Its `step_end` or stop strings end steps; its `is_terminal` ends the solution.
        policy: The policy that sampled it.
    """
    steps: list[Step] = []
    so_far = ""
    bounds = _token_bounds(completion, policy)
    for text in pieces(completion.text, task):
        start, so_far = len(so_far), so_far + text
        if bounds is None and not isinstance(policy, TokenTexts):
            steps.append(Step(text, logprobs=_dealt(completion, start, len(so_far))))
        else:
            steps.append(_step(text, start, completion, bounds))
        if task.is_terminal(so_far):
            break
    return tuple(steps)


def text_before(text: str, stop: Sequence[str]) -> str:
    """The part of `text` before the first of the texts in `stop`; all of it without one."""
    ends = [text.index(mark) for mark in stop if mark in text]
    return text[: min(ends)] if ends else text


def _token_bounds(completion: Completion, policy: object) -> list[int] | None:
    """Where in the text each token starts, and where the last one ends."""
    if completion.token_ids is None or not isinstance(policy, TokenTexts):
        return None
    bounds = [0]
    for text in policy.token_texts(completion.token_ids):
        bounds.append(bounds[-1] + len(text))
    return bounds if bounds[-1] == len(completion.text) else None


def _dealt(completion: Completion, start: int, end: int) -> tuple[float, ...]:
    """The log-probabilities of about the tokens of a part of the text."""
    count, length = len(completion.logprobs), len(completion.text)
    first, last = (round(count * place / length) for place in (start, end))
    return completion.logprobs[first:last]


def _step(text: str, start: int, completion: Completion, bounds: list[int] | None) -> Step:
    end = start + len(text)
    if bounds is None or completion.token_ids is None or not {start, end} <= set(bounds):
        return Step(text)
    # A token may add no text of its own (part of a character): it belongs to
    # the step whose text it goes before, so the first token at a place counts.
    first, last = bounds.index(start), bounds.index(end)
    return Step(
        text,
        token_ids=completion.token_ids[first:last],
        logprobs=completion.logprobs[first:last],
    )
