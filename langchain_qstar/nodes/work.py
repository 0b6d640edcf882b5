"""What select hands to propose_step and score_with_q, and what is left to do in it.

`Work` is the part of the tree around the popped states: their paths and what
lies below them. It is not stored in checkpoints. A resumed run starts without
it: propose_step and score_with_q then do nothing, and select, which finds
popped states that are not finished, hands out the rest of their work again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from langchain_qstar.nodes.preface import preface_of, prefaced
from langchain_qstar.protocols import Action, Completion, State, Step, Task
from langchain_qstar.spending.allowance import Allowance, allowance_of, now
from langchain_qstar.state.channels import put_nodes, put_stats
from langchain_qstar.tree import (
    ROOT,
    NodeRecord,
    Nodes,
    StatRecord,
    Stats,
    children,
    depth,
    is_closed,
    lineage,
    path,
    reasoning,
    state_key,
    trajectory,
)

_CUT: Final = "\0cut"
"""What tells a text that a budget cut from one that is so."""

_ENDED: Final = "\0"
"""What tells a solution that a model ended from the state that it ended it in."""


@dataclass(frozen=True, slots=True)
class Work:
    """Popped states with their surroundings.

    Attributes:
        popped: The states being expanded, in the order of their pops.
        nodes: Their paths from the root, and all that is below them.
        stats: What is known about `nodes`.
        size: Nodes in the whole tree, for the numbering of new ones.
        batches: Batches the policy was asked for so far in the run.
        known: State key -> the node that has it, for the whole tree. Shared
            with the frontier and added to in place, which is safe because a
            repeated addition changes nothing.
        since: When this round of the search began, on the clock of budgets.
        budgets: What the search may have spent by the end of this round.
    """

    popped: tuple[str, ...]
    nodes: dict[str, NodeRecord]
    stats: dict[str, StatRecord]
    size: int
    batches: int
    known: dict[str, str]
    since: float
    budgets: Mapping[str, float | None]

    def with_nodes(self, nodes: Nodes) -> Work:
        """This work with new nodes below the popped ones."""
        return replace(
            self, nodes=put_nodes(self.nodes, [dict(nodes)]), size=self.size + len(nodes)
        )

    def with_stats(self, stats: Stats) -> Work:
        """This work with more known about its nodes."""
        return replace(self, stats=put_stats(self.stats, [dict(stats)]))

    @property
    def run(self) -> dict[str, Any]:
        """The facts of the run, from the root."""
        return self.nodes[ROOT]["run"]


def left_of_round(view: Mapping[str, Any]) -> Allowance | None:
    """What a node that works on an expansion may spend."""
    work: Work | None = view.get("work")
    if work is None:
        return None
    return allowance_of(work.budgets, view.get("usage", {}), work.since)


def around(nodes: Nodes, stats: Stats, popped: Iterable[str]) -> tuple[Nodes, Stats]:
    """The part of the tree that work on `popped` needs: paths and descendants."""
    ids = dict.fromkeys(
        each for node_id in popped for each in (*lineage(node_id), *descendants(nodes, node_id))
    )
    known = {each: stats[each] for each in ids if each in stats}
    return {each: nodes[each] for each in ids}, known


def descendants(nodes: Nodes, node_id: str) -> Iterator[str]:
    """The ids of all nodes below `node_id`."""
    for child in children(nodes, node_id):
        yield child
        yield from descendants(nodes, child)


def new_work(
    nodes: Nodes,
    stats: Stats,
    popped: Iterable[str],
    known: dict[str, str],
    batches: int,
    *,
    budgets: Mapping[str, float | None] | None = None,
) -> Work:
    """The work of expanding `popped`, starting now."""
    popped = tuple(popped)
    near_nodes, near_stats = around(nodes, stats, popped)
    return Work(
        popped=popped,
        nodes=dict(near_nodes),
        stats=dict(near_stats),
        size=len(nodes),
        batches=batches,
        known=known,
        since=now(),
        budgets=budgets or {},
    )


def to_sample(work: Work, *, lookahead: bool) -> list[str]:
    """States whose continuations must be sampled now.

    A popped state that was not sampled yet comes first; in lookahead mode that
    is only the root, for every other state was sampled when it was inserted,
    and its children come after it (choice 2).
    """
    fresh = [each for each in work.popped if _can_sample(work, each)]
    if fresh or not lookahead:
        return fresh
    inserted = (child for each in work.popped for child in children(work.nodes, each))
    return [child for child in inserted if _can_sample(work, child)]


def is_full(work: Work) -> bool:
    """Whether the tree has as many nodes as it may have."""
    most = work.budgets.get("max_nodes")
    return most is not None and work.size >= most


def _can_sample(work: Work, node_id: str) -> bool:
    record = work.nodes[node_id]
    learnt = work.stats.get(node_id, {})
    ended = record["terminal"] or record["truncated"] or is_closed(learnt)
    return not ended and "expanded" not in learnt


def to_score(work: Work) -> dict[str, list[str]]:
    """Steps that have no score yet, by the state they continue."""
    groups: dict[str, list[str]] = {}
    for node_id, record in work.nodes.items():
        if record["parent"] is None or record["action"] == "retrieve" or is_silent_end(record):
            continue  # passages are no reasoning that could be judged, nor is nothing
        if "q" not in work.stats.get(node_id, {}):
            groups.setdefault(str(record["parent"]), []).append(node_id)
    return groups


def is_silent_end(record: NodeRecord) -> bool:
    """Whether a model only ended a solution there, without another word."""
    return record["terminal"] and not record["text"].strip()


def silent_ends(work: Work) -> list[str]:
    """Ends without text that have no value yet."""
    return [
        each
        for each, record in work.nodes.items()
        if is_silent_end(record) and "q" not in work.stats.get(each, {})
    ]


def to_insert(work: Work) -> list[str]:
    """Children of the popped states that are not in the frontier yet."""
    return [
        child
        for each in work.popped
        for child in children(work.nodes, each)
        if "f" not in work.stats.get(child, {})
    ]


def unfinished(nodes: Nodes, stats: Stats) -> list[str]:
    """Popped states whose children are not all in the frontier, in order of pops.

    Looks at the whole tree: for the first pop of a resumed run only.
    """
    popped = [each for each in stats if "popped" in stats[each]]
    popped.sort(key=lambda each: stats[each]["popped"])
    return [each for each in popped if _is_unfinished(nodes, stats, each)]


def _is_unfinished(nodes: Nodes, stats: Stats, node_id: str) -> bool:
    record = nodes[node_id]
    if record["terminal"] or record["truncated"] or is_closed(stats[node_id]):
        return False
    if "expanded" not in stats[node_id]:
        return True
    return any("f" not in stats.get(child, {}) for child in children(nodes, node_id))


def state_of(nodes: Nodes, node_id: str, messages: tuple[tuple[str, str], ...]) -> State:
    """The MDP state of a node: the question, what comes with it, and the steps to it."""
    question: str = nodes[ROOT]["run"]["question"]
    state = State(question, messages, tuple(step_of(each) for each in path(nodes, node_id)))
    return prefaced(state, preface_of(nodes[ROOT]))


def step_of(record: NodeRecord) -> Step:
    """The step a record stores, as models read it."""
    ids = record["token_ids"]
    return Step(
        text=record["text"],
        action=record["action"],  # type: ignore[arg-type]  # written from an Action
        token_ids=None if ids is None else tuple(ids),
        logprobs=tuple(record["logprobs"]),
    )


def record_of(
    completion: Completion,
    node_id: str,
    nodes: Nodes,
    *,
    order: int,
    action: Action,
    task: Task,
    window: int | None,
    max_depth: int,
    cut: str | None = None,
) -> NodeRecord:
    """The record of a new step.

    A state is terminal when the task says so or the policy ended its text
    there; otherwise it is truncated when it is too deep, or too long for one
    more step (choice 12).

    Args:
        completion: What the policy returned.
        node_id: The id of the new node; its path must be in `nodes`.
        nodes: The tree, or the part of it around the new node.
        order: The node's place in the order of insertion.
        action: How the step was made.
        task: What ends a solution and where its answer is.
        window: Context length of the policy in tokens, None when unknown.
        max_depth: Steps after which a path is cut.
        cut: The budget that cut the step short, if one did: nothing is read in it.

    Returns:
        The record, with `samples` 1.
    """
    parent = lineage(node_id)[-2]
    text = trajectory(nodes, parent) + completion.text
    retrieved = action == "retrieve"
    reasoned = reasoning(nodes, parent) + completion.text
    stopped = task.step_end is None and bool(task.stop) and completion.text.endswith(task.stop)
    ended = task.is_terminal(reasoned) or (completion.finish == "eos" and not stopped)
    terminal = ended and not retrieved and cut is None
    length = max(nodes[parent]["length"], completion.prompt_tokens) + completion.generated
    too_long = window is not None and length + task.step_tokens > window
    ids = completion.token_ids
    answer, guessed = task.read(reasoned) if terminal else (None, False)
    record: NodeRecord = {
        "id": node_id,
        "parent": parent,
        "order": order,
        "action": action,
        "text": completion.text,
        "token_ids": None if ids is None else list(ids),
        "logprobs": list(completion.logprobs),
        "samples": 1,
        "length": length,
        "terminal": terminal,
        "truncated": not terminal and (depth(node_id) >= max_depth or too_long),
        "answer": answer,
        # These find nothing out, but the state is not what it was before.
        "key": state_key(text if retrieved or action == "rephrase" else task.canonical(text))
        if completion.text.strip()
        else state_key(f"{text}{_ENDED}"),
    }
    if cut is not None:
        # What is known of other states by their texts is not to be told of this one.
        return {**record, "cut": cut, "key": state_key(f"{text}{_CUT}")}
    return {**record, "guessed": True} if guessed else record
