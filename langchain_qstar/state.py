"""What flows through the graph: channels, their reducers, and the events of a stream.

The tree is in two `DeltaChannel`s, `nodes` and `stats` (see `tree.py`). Such a
channel stores what a node wrote, not the whole value, so a step costs the same
in a small and in a large tree. `DeltaChannel` is beta; nothing outside this
module names it.

Reducers copy. LangGraph stores checkpoints from another thread, and a value
changed in place would be stored with writes that came after it.

`work` and `frontier` are not stored at all: both can be derived from the tree,
and `select` does so when a resumed run comes without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NotRequired, Required, TypedDict

from langgraph.channels import BinaryOperatorAggregate, EphemeralValue, UntrackedValue
from langgraph.channels.delta import DeltaChannel

from langchain_qstar.tree import NodeRecord, StatRecord

SNAPSHOT_EXPANSIONS: Final = 1000
"""Expansions between two full copies of the tree in the checkpoints.

A copy costs as many bytes as the tree has; a resumed run without one replays
the writes, 0.03 ms each. At 1000 the copies stay below the bytes of the writes
themselves until a tree has some 2,000 expansions."""

STATS_WRITES: Final = 3
"""Writes to `stats` in one expansion, by select, propose_step and score_with_q;
`nodes` gets one."""

ADDITIVE: Final = frozenset({"visits", "value"})
"""Keys of a `StatRecord` that add up; every other one is written once."""


def put_nodes(
    nodes: dict[str, NodeRecord], writes: Sequence[Mapping[str, NodeRecord]]
) -> dict[str, NodeRecord]:
    """A copy of `nodes` with all `writes` put in, in order."""
    merged = dict(nodes)
    for write in writes:
        merged.update(write)
    return merged


def put_stats(
    stats: dict[str, StatRecord], writes: Sequence[Mapping[str, StatRecord]]
) -> dict[str, StatRecord]:
    """A copy of `stats` with all `writes` merged in: counts add, the rest is put."""
    merged = dict(stats)
    for write in writes:
        for node_id, learnt in write.items():
            merged[node_id] = _merged(merged.get(node_id, {}), learnt)
    return merged


def _merged(known: StatRecord, learnt: StatRecord) -> StatRecord:
    merged: dict[str, Any] = {**known, **learnt}
    for key in ADDITIVE & known.keys() & learnt.keys():
        merged[key] = known[key] + learnt[key]  # type: ignore[literal-required]
    return merged  # type: ignore[return-value]


def add_usage(usage: dict[str, float], spent: dict[str, float]) -> dict[str, float]:
    """The sum of two counts of the same things; a missing count is 0."""
    return {key: usage.get(key, 0) + spent.get(key, 0) for key in usage | spent}


NodesChannel = Annotated[
    dict[str, NodeRecord], DeltaChannel(put_nodes, snapshot_frequency=SNAPSHOT_EXPANSIONS)
]
StatsChannel = Annotated[
    dict[str, StatRecord],
    DeltaChannel(put_stats, snapshot_frequency=STATS_WRITES * SNAPSHOT_EXPANSIONS),
]
UsageChannel = Annotated[dict[str, float], BinaryOperatorAggregate(dict, add_usage)]
"""calls, completions, prompt_tokens, completion_tokens, reused_tokens, pops, seconds."""
Untracked = Annotated[Any, UntrackedValue]


class QStarInput(TypedDict, total=False):
    """What a run starts from."""

    question: Required[Annotated[str, EphemeralValue]]
    seed: Annotated[int, EphemeralValue]
    """Seed of the run; 0 when absent."""
    budget: Annotated[dict[str, float | None], EphemeralValue]
    """Budgets that replace those of the settings, by their names there."""


class QStarOutput(TypedDict, total=False):
    """What a run ends with."""

    answer: str | None
    stopped: str
    solution: Untracked
    """The whole `Solution` as JSON types; it is not stored in checkpoints."""


class QStarState(QStarInput, QStarOutput, total=False):
    """All channels. Root writes the first value of each; then each has one writer."""

    nodes: NodesChannel
    """Written by propose_step (and answer, for a fallback)."""
    stats: StatsChannel
    """Written by select (popped), propose_step (expanded), score_with_q (q ... f,
    checks, closed), answer (checks of a fallback)."""
    usage: UsageChannel
    """Every node adds what it spent."""
    collected: list[str]
    """Complete states popped so far, in order; written by select."""
    work: Untracked
    """The part of the tree that is being expanded and scored."""
    frontier: Untracked
    """The open states as a heap; written by select."""


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


class AnswerView(TypedDict):
    """What answer reads."""

    nodes: NodesChannel
    stats: StatsChannel
    usage: UsageChannel
    collected: list[str]
    stopped: str


class SelectedNode(TypedDict):
    """A popped state."""

    id: str
    text: str
    f: float | None
    terminal: bool


class SelectedEvent(TypedDict):
    """`select` popped states; `open` is how many are left."""

    type: Literal["selected"]
    nodes: list[SelectedNode]
    open: int


class ProposedNode(TypedDict):
    """A new step."""

    id: str
    parent: str
    text: str
    samples: int
    terminal: bool


class ProposedEvent(TypedDict):
    """`propose_step` sampled continuations of the states `parents` in one batch."""

    type: Literal["proposed"]
    parents: list[str]
    nodes: list[ProposedNode]


class ScoredNode(TypedDict):
    """A step that was scored; f is None while it is not in the frontier.

    `closed` says why a check keeps it from being popped, or is None.
    """

    id: str
    text: str
    q: float | None
    reward: float | None
    f: float | None
    closed: str | None


class ScoredEvent(TypedDict):
    """`score_with_q` scored steps."""

    type: Literal["scored"]
    nodes: list[ScoredNode]


class AnsweredEvent(TypedDict):
    """`answer` ended the search; `id` is the node whose path is the solution."""

    type: Literal["answered"]
    id: str
    answer: str | None
    stopped: str


SearchEvent = SelectedEvent | ProposedEvent | ScoredEvent | AnsweredEvent
"""What `QStarChain.stream` yields before the result."""
