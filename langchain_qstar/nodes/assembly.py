"""A `Solution` from the final state of a search, in one pure function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from langchain_qstar.nodes.guidance import shortfalls_of
from langchain_qstar.solution import (
    Check,
    Passage,
    Remembered,
    Solution,
    SolutionStep,
    Stopped,
    TreeNode,
    Turn,
    Usage,
    Vote,
)
from langchain_qstar.stepping.repeats import REASON as REPEATED
from langchain_qstar.tree import (
    ROOT,
    NodeRecord,
    Nodes,
    StatRecord,
    Stats,
    depth,
    is_closed,
    path,
)
from langchain_qstar.verification.verdict import Abstain, verdict_on, withholds

Shown = Callable[[NodeRecord], str]
"""From a record to the text of its step as a person reads it."""


def text_of(record: NodeRecord) -> str:
    """The text of a step as it is."""
    return record["text"]


def solution_of(
    nodes: Nodes,
    stats: Stats,
    usage: Mapping[str, float],
    *,
    method: str,
    chosen: str,
    collected: Sequence[str],
    votes: tuple[Vote, ...],
    stopped: Stopped,
    agreed: bool | None = None,
    shown: Shown = text_of,
) -> Solution:
    """Put the result together.

    Args:
        nodes: The tree; its root holds question, seed, settings and names.
        stats: What is known about its nodes.
        usage: What was spent.
        method: The name of the method.
        chosen: The node whose path is the solution.
        collected: The complete states that were found.
        votes: Their answers.
        stopped: Why the search stopped.
        agreed: Whether a second model that saw steps of the solution agrees with it; None
            when it was not asked.
        shown: The text of a step as a person reads it.

    Returns:
        The solution. Its `answer` is that of `chosen`, which may be None; it is
        None too when the run abstains from an answer of such a path.
    """
    run = nodes[ROOT]["run"]
    steps = steps_to(nodes, stats, chosen, shown)
    verdict = verdict_on(steps)
    withheld = withholds(run["settings"]["abstain"], verified=verdict.verified)
    return Solution(
        question=run["question"],
        images=tuple(run.get("images", ())),
        turns=_turns(nodes[ROOT]),
        answer=None if withheld else nodes[chosen]["answer"],
        method=method,
        verified=verdict.verified,
        verified_by=verdict.by,
        calculations=verdict.calculations,
        agreed=agreed,
        steps=steps,
        tree=tuple(
            _node(record, stats, shown)
            for record in sorted(nodes.values(), key=lambda each: each["order"])
        ),
        votes=votes,
        guessed=not withheld and nodes[chosen].get("guessed", False),
        unparsed=sum(nodes[each]["answer"] is None for each in collected),
        usage=Usage.counted(usage, shortfalls_of(nodes, stats, usage, collected)),
        stopped=stopped,
        seconds=usage.get("seconds", 0.0),
        settings=run["settings"],
        policy=run["policy"],
        q_model=run["q_model"],
        verifier=run.get("verifier"),
        task=run["task"],
        prompts=run.get("prompts", ""),
        seed=run["seed"],
    )


def may_answer(nodes: Nodes, stats: Stats, node_id: str, abstain: Abstain) -> bool:
    """Whether the trajectory to a node may be the answer of a search that abstains like that."""
    # Without abstaining all may, and a large tree is not judged for nothing.
    return not abstain or not withholds(
        abstain, verified=verdict_on(steps_to(nodes, stats, node_id)).verified
    )


def steps_to(
    nodes: Nodes, stats: Stats, node_id: str, shown: Shown = text_of
) -> tuple[SolutionStep, ...]:
    """The steps that lead to a node, with what is known about them."""
    return tuple(_step(record, stats, shown) for record in path(nodes, node_id))


def _step(record: NodeRecord, stats: Stats, shown: Shown) -> SolutionStep:
    learnt = stats.get(record["id"], StatRecord())
    return SolutionStep(
        id=record["id"],
        text=shown(record),
        action=record["action"],
        q=learnt.get("q"),
        visits=learnt.get("visits", 0),
        checks=_checks(learnt),
        passages=passages_of(record),
        remembered=remembered_of(record),
    )


def _turns(root: NodeRecord) -> tuple[Turn, ...]:
    return tuple(
        Turn(question=each["question"], answer=each["answer"], steps=each["steps"])
        for each in root.get("turns", ())
    )


def remembered_of(record: NodeRecord) -> Remembered | None:
    """Where the answer of a sub-question is from, if it was remembered."""
    memory = record.get("remembered")
    if memory is None:
        return None
    return Remembered.model_validate({each: memory[each] for each in Remembered.model_fields})  # type: ignore[literal-required]


def _closed(record: NodeRecord, learnt: StatRecord) -> str | None:
    """Why the search did not go on from a node, None when it might have."""
    if "failure" in record:
        return f"retriever: {record['failure']}"
    if "cut" in record:
        return f"cut: {record['cut']}"
    if record.get("repeats"):
        return REPEATED
    return learnt.get("closed") if is_closed(learnt) else None


def passages_of(record: NodeRecord) -> tuple[Passage, ...]:
    """What a step shows of what a retriever found."""
    return tuple(Passage.model_validate(each) for each in record.get("passages", ()))


def _checks(learnt: StatRecord) -> tuple[Check, ...]:
    return tuple(Check.model_validate(each) for each in learnt.get("checks", ()))


def _node(record: NodeRecord, stats: Stats, shown: Shown) -> TreeNode:
    learnt = stats.get(record["id"], StatRecord())
    return TreeNode(
        id=record["id"],
        parent=record["parent"],
        text=shown(record),
        action=record["action"],
        depth=depth(record["id"]),
        terminal=record["terminal"],
        answer=record["answer"],
        logprob=sum(record["logprobs"]) if record["logprobs"] else None,
        samples=record["samples"],
        q=learnt.get("q"),
        reward=learnt.get("reward"),
        g=learnt.get("g"),
        h=learnt.get("h"),
        f=learnt.get("f"),
        visits=learnt.get("visits", 0),
        value=learnt.get("value"),
        confidence=record.get("confidence"),
        votes=record.get("votes", 0),
        completed=learnt.get("completed"),
        popped=learnt.get("popped"),
        checks=_checks(learnt),
        closed=_closed(record, learnt),
        replaces=record.get("replaces"),
        passages=passages_of(record),
        remembered=remembered_of(record),
    )
