"""The channels that hold a tree, and their reducers.

The tree is in two `DeltaChannel`s, `nodes` and `stats` (see `tree.py`). Such a
channel stores what a node wrote, not the whole value, so a step costs the same
in a small and in a large tree. `DeltaChannel` is beta; nothing outside this
module names it.

Reducers copy. LangGraph stores checkpoints from another thread, and a value
changed in place would be stored with writes that came after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Required

from langgraph.channels import BinaryOperatorAggregate, EphemeralValue, UntrackedValue
from langgraph.channels.delta import DeltaChannel
from typing_extensions import TypedDict  # a server's schemas need it on Python 3.11

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


class MemoryFacts(TypedDict):
    """Where a run remembers sub-questions."""

    namespace: list[str]
    """Of the store."""
    before: float
    """When the run began, seconds since 1970: what was stored later is not read."""
    near: float | None
    """See the setting `remember_near`."""


class Preface(TypedDict, total=False):
    """What a run has beside its question."""

    images: list[dict[str, Any]]
    """Content blocks, see `protocols.Image`."""
    turns: list[list[str]]
    """[role, content] pairs: what was asked and answered before in the thread."""
    memory: MemoryFacts
    """Not in prompts: where sub-questions are remembered."""


def put_preface(preface: Mapping[str, Any], writes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A copy of `preface` with all `writes` put in."""
    merged = dict(preface)
    for write in writes:
        merged.update(write)
    return merged


PrefaceChannel = Annotated[
    dict[str, Any], DeltaChannel(put_preface, snapshot_frequency=SNAPSHOT_EXPANSIONS)
]
"""Written once, so it is stored once, however large its images are."""
Untracked = Annotated[Any, UntrackedValue]
"""Not stored in checkpoints."""


class SearchInput(TypedDict, total=False):
    """What a run starts from."""

    question: Required[Annotated[str, EphemeralValue]]
    images: Annotated[list[dict[str, Any]], EphemeralValue]
    """Images that belong to the question, as LangChain's content blocks; none when absent."""
    seed: Annotated[int, EphemeralValue]
    """Seed of the run; 0 when absent."""
    budget: Annotated[dict[str, float | None], EphemeralValue]
    """Budgets that replace those of the settings, by their names there."""


class RootView(SearchInput, total=False):
    """What root reads: the input, and what an earlier run in the thread left."""

    nodes: NodesChannel
    stats: StatsChannel
    usage: UsageChannel
    stopped: str
    answer: str | None


class SearchOutput(TypedDict, total=False):
    """What a run ends with."""

    answer: str | None
    stopped: str
    solution: Untracked
    """The whole `Solution` as JSON types."""
