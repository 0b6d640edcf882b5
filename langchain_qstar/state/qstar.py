"""What flows through the Q* machine, and what each of its nodes reads.

`work` and `frontier` are not stored: both can be derived from the tree, and
`select` does so when a resumed run comes without them.
"""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict  # a server's schemas need it on Python 3.11

from langchain_qstar.state.channels import (
    NodesChannel,
    RootView,
    SearchInput,
    SearchOutput,
    StatsChannel,
    Untracked,
    UsageChannel,
)


class QStarState(SearchInput, SearchOutput, total=False):
    """All channels. Root writes the first value of each; then each has one writer."""

    nodes: NodesChannel
    """Written by propose_step, answer (a fallback) and human_gate (what a person wrote)."""
    stats: StatsChannel
    """Written by select (popped), propose_step (expanded), score_with_q (q ... f,
    checks, closed), verify_by_completion (completed), answer (checks of a fallback),
    human_gate (decision, closed)."""
    usage: UsageChannel
    """Every node adds what it spent."""
    collected: list[str]
    """Complete states popped so far, in order; written by select."""
    work: Untracked
    """The part of the tree that is being expanded and scored."""
    frontier: Untracked
    """The open states as a heap; written by select."""


class QStarRootView(RootView, total=False):
    """What root reads: the input, and what an earlier run in the thread left."""

    collected: list[str]


class SelectView(TypedDict):
    """What select reads."""

    nodes: NodesChannel
    stats: StatsChannel
    usage: UsageChannel
    collected: list[str]
    work: NotRequired[Untracked]
    frontier: NotRequired[Untracked]


class WorkView(TypedDict, total=False):
    """What propose_step and score_with_q read: the work in hand, not the tree."""

    work: Untracked
    usage: UsageChannel


class GateView(TypedDict):
    """What human_gate reads."""

    nodes: NodesChannel
    stats: StatsChannel
    collected: list[str]
    stopped: str


class AnswerView(TypedDict):
    """What verify_by_completion and answer read."""

    nodes: NodesChannel
    stats: StatsChannel
    usage: UsageChannel
    collected: list[str]
    stopped: str
