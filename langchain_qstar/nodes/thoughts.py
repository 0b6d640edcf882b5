"""Searching the thoughts of a reasoning model: which task, which requests, and their budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from langchain_qstar.errors import SettingsError
from langchain_qstar.protocols import Policy, SampleRequest, ShowsThoughts, Step, Task
from langchain_qstar.settings import QStarSettings
from langchain_qstar.stepping.solutions import SolutionEnd
from langchain_qstar.stepping.thinking import CLOSED, CLOSING, is_open, with_thoughts
from langchain_qstar.tree import NodeRecord


def searched_by(settings: QStarSettings, task: Task, policy: Policy) -> Task:
    """The task as a search sees it: where thoughts are searched, they are part of the text.

    Raises:
        SettingsError: Thoughts are to be searched, and the policy keeps them apart, or a second
            model is to complete them.
    """
    if settings.thoughts == "apart":
        return task
    if not (isinstance(policy, ShowsThoughts) and policy.shows_thoughts):
        raise SettingsError(
            f"thoughts='searched': {policy.name} does not write its thoughts as text that can be "
            "gone on with; use a local model, or thoughts='apart'"
        )
    if settings.verify != "never":
        raise SettingsError(
            "verify='after' has a second model complete steps, and a thought is none that it could "
            "go on with; choose verify='never', or thoughts='apart'"
        )
    return with_thoughts(task)


def thinking(request: SampleRequest, settings: QStarSettings, policy: Policy) -> SampleRequest:
    """A request of a search whose thoughts are searched; others are as they were.

    A thought that has `max_thought_tokens` is closed, so that the model answers.
    """
    if settings.thoughts == "apart":
        return request
    steps = request.state.steps
    used_up = sum(_tokens(each, policy) for each in steps) >= settings.max_thought_tokens
    if used_up and is_open(request.state.text) and not request.prefill:
        ends = request.ends
        if isinstance(ends, SolutionEnd):
            ends = ends.after(CLOSED)
        return replace(request, thinks=True, prefill=CLOSED, ends=ends)
    return replace(request, thinks=True)


def thought_steps(path: Sequence[NodeRecord], settings: QStarSettings) -> int:
    """How many steps of a path are of its thought, the one that closes it included."""
    if settings.thoughts == "apart":
        return 0
    closed = (place for place, each in enumerate(path, 1) if CLOSING in each["text"])
    return next(closed, len(path) + 1)


def _tokens(step: Step, policy: Policy) -> int:
    return policy.count_tokens(step.text) if step.token_ids is None else len(step.token_ids)
