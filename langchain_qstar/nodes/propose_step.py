"""propose_step: sample K next steps of every state in hand, as one batch.

Algorithm 1, step 4. Equal samples become one step that remembers how many they
were; empty ones become none; a state whose text is in the tree already is not
added again (choices 4 and 15). A step that ends a solution without an answer is asked
for it once.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from langchain_core.runnables import Runnable

from langchain_qstar.checks.running import StepChecks
from langchain_qstar.nodes.candidates import Candidate, Proposer
from langchain_qstar.nodes.concluding_steps import Concluder
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer
from langchain_qstar.nodes.retrieving import with_passages
from langchain_qstar.nodes.thoughts import thought_steps
from langchain_qstar.nodes.verdicts import tell_pruned
from langchain_qstar.nodes.work import Work, is_full, record_of, to_sample
from langchain_qstar.protocols import Policy, Task
from langchain_qstar.settings import QStarSettings
from langchain_qstar.spending.allowance import cutting
from langchain_qstar.state.events import ProposedEvent, ProposedNode
from langchain_qstar.state.qstar import WorkView
from langchain_qstar.stepping.repeats import REASON as REPEATED
from langchain_qstar.stepping.repeats import repeats
from langchain_qstar.tree import NodeRecord, StatRecord, child_id, lineage, path


def make_propose_step(
    policy: Policy,
    task: Task,
    settings: QStarSettings,
    checks: StepChecks,
    retriever: Runnable[str, Any] | None = None,
) -> Beat:
    """The node that asks the policy for next steps.

    In lookahead mode it asks twice in the first round: for the root's steps,
    and for the steps after those, which their h needs.

    Args:
        policy: Who proposes.
        task: Prompt, end of a step, and which texts are complete solutions.
        settings: K, temperature, depth and mode.
        checks: What judges steps while others of the batch still decode.
        retriever: Finds passages, for the action `retrieve`.

    Returns:
        The function of the node. It raises `ModelError` when the policy answers
        a different number of requests than it was asked.

    Raises:
        SettingsError: The task has no form for one of the actions.
    """
    lookahead = settings.h_mode == "lookahead"
    proposer = Proposer(policy, task, settings, checks, retriever)
    conclude_steps = Concluder(policy, task, settings)

    def propose_step(view: WorkView, write: Writer) -> Generator[Call, object, Update]:
        work: Work | None = view.get("work")
        if work is None:  # resumed: select will hand the work out again
            return {}
        nodes: dict[str, NodeRecord] = {}
        stats: dict[str, StatRecord] = {}
        usage: dict[str, float] = {"batches": 0}
        while parents := to_sample(work, lookahead=lookahead):
            if nodes and is_full(work):
                break
            batch = work.batches + int(usage["batches"])
            groups = yield from proposer.propose(work, parents, usage)
            groups = yield from conclude_steps(work, parents, groups, usage)
            fresh = _attach(work, parents, groups, policy=policy, task=task, settings=settings)
            marks: dict[str, StatRecord] = {each: {"expanded": batch} for each in parents}
            if (cut := cutting()) is not None:
                marks = {each: {**mark, "cut": cut} for each, mark in marks.items()}
            marks |= (in_vain := _in_vain(fresh) | _repeating(work, fresh))
            write(_event(parents, fresh))
            tell_pruned(write, fresh, in_vain)
            work = work.with_nodes(fresh).with_stats(marks)
            nodes |= fresh
            stats |= marks
        return {"nodes": nodes, "stats": stats, "usage": usage, "work": work}

    return propose_step


def _attach(
    work: Work,
    parents: Sequence[str],
    groups: Sequence[Sequence[Candidate]],
    *,
    policy: Policy,
    task: Task,
    settings: QStarSettings,
) -> dict[str, NodeRecord]:
    """Records of the distinct new steps, numbered in the order they were sampled."""
    fresh: dict[str, NodeRecord] = {}
    for parent, group in zip(parents, groups, strict=True):
        siblings: dict[str, NodeRecord] = {}
        for candidate in group:
            node_id = child_id(parent, len(siblings))
            record = record_of(
                candidate.completion,
                node_id,
                work.nodes,
                order=work.size + len(fresh),
                action=candidate.action,
                task=task,
                window=policy.window,
                max_depth=settings.max_depth + thought_steps(path(work.nodes, parent), settings),
                cut=candidate.cut,
            )
            if candidate.retrieved is not None:
                record = with_passages(record, candidate.retrieved)
            if candidate.remembered is not None:
                record["remembered"] = candidate.remembered
            key = record["key"]
            if key in siblings:
                siblings[key]["samples"] += 1
            elif work.known.setdefault(key, node_id) == node_id:  # else: another split of it
                siblings[key] = fresh[node_id] = record
    return fresh


def _in_vain(fresh: dict[str, NodeRecord]) -> dict[str, StatRecord]:
    """What is known of retrievals that found nothing, and of what a budget cut: it is closed."""
    known: StatRecord = {"q": None, "reward": None, "g": 0.0, "h": 0.0, "f": 0.0}
    why = {
        each: f"retriever: {record['failure']}" if "failure" in record else f"cut: {record['cut']}"
        for each, record in fresh.items()
        if "failure" in record or "cut" in record
    }
    return {each: {**known, "closed": reason} for each, reason in why.items()}


def _repeating(work: Work, fresh: dict[str, NodeRecord]) -> dict[str, StatRecord]:
    """What is known of steps that say again what their path has said: it is closed there."""
    return {
        each: {"q": None, "reward": None, "g": 0.0, "h": 0.0, "f": 0.0, "closed": REPEATED}
        for each, record in fresh.items()
        if record["action"] == "propose_step"
        and not record["terminal"]
        and "cut" not in record
        and repeats(
            record["text"], (before["text"] for before in path(work.nodes, lineage(each)[-2]))
        )
    }


def _event(parents: Sequence[str], fresh: dict[str, NodeRecord]) -> ProposedEvent:
    return {
        "type": "proposed",
        "parents": list(parents),
        "nodes": [_told(record) for record in fresh.values()],
    }


def _told(record: NodeRecord) -> ProposedNode:
    told: ProposedNode = {
        "id": record["id"],
        "parent": record["id"].rpartition(".")[0],
        "text": record["text"],
        "samples": record["samples"],
        "terminal": record["terminal"],
    }
    if "passages" in record or "remembered" in record:
        told["action"] = record["action"]
    return told
