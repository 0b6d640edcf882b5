"""What flows through the rStar machine, and what each of its nodes reads.

Everything but the clock is stored: what select hands to the actions is a few
kilobytes, so a superstep that was killed is simply run again.
"""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict  # a server's schemas need it on Python 3.11

from langchain_qstar.state.channels import (
    NodesChannel,
    PrefaceChannel,
    RootView,
    SearchInput,
    SearchOutput,
    StatsChannel,
    Untracked,
    UsageChannel,
)
from langchain_qstar.tree import NodeRecord


class Rollout(TypedDict):
    """A rollout that has not ended; its path is the lineage of `tip`."""

    number: int
    """Counted from 0 in the order in which they began."""
    tip: str
    """The node it has come to."""


class Expansion(TypedDict):
    """A node that is to get all its legal children, and what that needs."""

    id: str
    path: list[NodeRecord]
    """The steps that lead to it, without the root."""
    order: int
    """`order` of the child in slot 0; that in slot n has n more."""


class Work(TypedDict):
    """What select hands on, and what it must remember."""

    question: str
    seed: int
    rollouts: list[Rollout]
    """All rollouts in flight."""
    expansions: list[Expansion]
    """What they wait for; no node twice."""
    begun: int
    """Rollouts begun so far."""
    slots: int
    """Places for nodes given away so far, the root's included."""
    verified: int
    """How many ended rollouts there were when candidates were last sent to the verifier."""
    written: list[str]
    """The steps that a person wrote, in order; a rollout begins at each."""
    budgets: NotRequired[dict[str, float | None]]
    """What the search may have spent by the end of this round, by the names in the settings."""


class RStarState(SearchInput, SearchOutput, total=False):
    """All channels. Root writes the first value of each; then each has one writer."""

    nodes: NodesChannel
    """Written by the five actions, each its own children, by answer (a fallback) and by
    human_gate (what a person wrote)."""
    stats: StatsChannel
    """Written by backup (expanded, checks, q, reward, visits, value),
    verify_by_completion (completed, belief) and human_gate (decision, closed, and visits
    and value of rollouts that no longer count, negative)."""
    usage: UsageChannel
    """Every node adds what it spent."""
    work: Work
    """Written by select, and by human_gate (slots, written, verified)."""
    in_flight: list[Rollout]
    """Rollouts that go on; written by backup."""
    ended: list[str]
    """The last node of each rollout that ended, in order; written by backup."""
    since: Untracked
    """When this round began, on this machine's clock; written by select."""
    preface: PrefaceChannel
    """What prompts hold beside the question, for nodes that do not read the tree; written by
    root."""


class RStarRootView(RootView, total=False):
    """What root reads: the input, and what an earlier run in the thread left."""

    ended: list[str]
    work: Work


class SelectView(TypedDict):
    """What select reads."""

    nodes: NodesChannel
    stats: StatsChannel
    usage: UsageChannel
    work: Work
    in_flight: list[Rollout]
    ended: list[str]


class ActionView(TypedDict):
    """What an action reads: the paths to the nodes it expands, not the tree."""

    work: Work
    preface: NotRequired[PrefaceChannel]
    usage: NotRequired[UsageChannel]
    since: NotRequired[Untracked]


class BackupView(TypedDict):
    """What backup reads."""

    nodes: NodesChannel
    stats: StatsChannel
    usage: NotRequired[UsageChannel]
    work: Work
    ended: list[str]
    since: NotRequired[Untracked]


class GateView(TypedDict):
    """What human_gate reads."""

    nodes: NodesChannel
    stats: StatsChannel
    work: Work
    ended: list[str]
    stopped: str


class EndedView(TypedDict):
    """What verify_by_completion and answer read."""

    nodes: NodesChannel
    stats: StatsChannel
    usage: UsageChannel
    ended: list[str]
    stopped: str
