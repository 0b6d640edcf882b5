"""What a person's decision does to rStar's tree, and to what its rollouts added up.

A step that a person writes takes the place of one by the same action, in a slot after
those of the actions. A rollout that went through a step that is closed now counts no
longer: its visit and its reward are taken from all that stands above, and the search
makes another in its stead. So the visits of an open node are those of the rollouts
that ended in it or below by open steps, and its value is what these earned. The closed
steps keep their own, as a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_qstar.actions import Opening, Thought, Trace, trace_of
from langchain_qstar.decisions import Decision
from langchain_qstar.nodes.intervention import Follow, as_passages, ended, intervene
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.nodes.rstar.recording import record_of, shown
from langchain_qstar.protocols import Action, Completion, Step
from langchain_qstar.state.channels import put_stats
from langchain_qstar.tree import (
    ROOT,
    NodeRecord,
    Nodes,
    StatRecord,
    Stats,
    is_closed,
    lineage,
    path,
)


def make_follow(parts: Parts) -> Follow:
    """What decisions do to the state of the machine.

    Args:
        parts: Of the machine.

    Returns:
        A function whose update holds `work` too: what a person wrote is to be looked at,
        and has a place in the order of insertion.
    """

    def written(nodes: Nodes, replaced: str, text: str, order: int) -> NodeRecord:
        return _written(parts, nodes, replaced, text, order)

    def follow(
        state: Mapping[str, Any], decision: Decision, asked: Iterable[str]
    ) -> dict[str, Any]:
        nodes, stats, work = state["nodes"], state["stats"], state["work"]
        # A fallback of a search that had ended has a place that was given to nobody.
        order = max(work["slots"], 1 + max(record["order"] for record in nodes.values()))
        update = intervene(nodes, decision, asked, written, order=order, shown=shown)
        fresh = update["nodes"]
        changed = decision.forbid or decision.edit
        withdrawn = list(_withdrawn(nodes, stats, update["stats"]))
        return {
            "nodes": fresh,
            "stats": put_stats(update["stats"], withdrawn),
            "work": {
                **work,
                "slots": order + len(fresh),
                "written": [*work["written"], *fresh],
                "verified": 0 if changed else work["verified"],
            },
        }

    return follow


def counting(stats: Stats, ended_at: Sequence[str]) -> list[str]:
    """The last nodes of the rollouts that count: those that ended in no closed step."""
    return [each for each in ended_at if not is_closed(stats.get(each, {}))]


def _withdrawn(nodes: Nodes, stats: Stats, marks: Stats) -> Iterator[dict[str, StatRecord]]:
    """What rollouts through steps that are closed now had added to the nodes above."""
    closing = {
        each
        for each, mark in marks.items()
        if "closed" in mark and not is_closed(stats.get(each, {}))
    }
    for each in closing:
        parent = str(nodes[each]["parent"])
        learnt = stats.get(each, {})
        if parent in closing or not learnt.get("visits"):
            continue  # with its parent, or never visited
        taken: StatRecord = {"visits": -learnt["visits"], "value": -learnt.get("value", 0.0)}
        yield dict.fromkeys(lineage(parent), taken)


def _written(parts: Parts, nodes: Nodes, replaced: str, text: str, order: int) -> NodeRecord:
    """The record of a step with a person's text, read as what its action writes.

    Of a sub-question it is the answer, with or without the question before it. Remaining
    steps that state no answer are one more thought. In the place of passages it is passages.
    """
    old = nodes[replaced]
    parent = str(old["parent"])
    if old["action"] == "retrieve":
        said = as_passages(text, parts.task.stop)
        return _recorded(parts, nodes, parent, said, order, action="retrieve")
    trace = trace_of(nodes[ROOT]["run"]["question"], path(nodes, parent))
    action = _action(parts, old, text)
    asked = old.get("subquestion")
    if asked is not None:
        text = text.removeprefix(asked["text"].rstrip("\n")).lstrip("\n")
    question = None if asked is None else Step(asked["text"], "subquestion")
    opening = _opening(parts, trace, action, question, last=old["terminal"])
    said = _completed(text, opening)
    stated = parts.forms.statement(_thought(trace, Step(said, action), question))
    states = parts.task.is_terminal(stated)
    thinks = action == "propose_step"
    ends = {
        "propose_step": states and parts.settings.end_at_answer,
        "finish": True,
        "subquestion": old["terminal"],
    }
    terminal = ends.get(action, False)
    answer = parts.task.answer(stated) if terminal or (states and thinks) else None
    record = _recorded(
        parts, nodes, parent, said, order, action=action, terminal=terminal, answer=answer
    )
    return record if asked is None else {**record, "subquestion": asked}


def _recorded(
    parts: Parts, nodes: Nodes, parent: str, said: str, order: int, **what: Any
) -> NodeRecord:
    """The record of a step below `parent`, in the next slot for what a person writes."""
    before = nodes[parent]["length"]
    spent = parts.policy.count_tokens(said)
    node_id = parts.rules.next_written(nodes, parent)
    slot = int(node_id.rpartition(".")[2])
    return record_of(
        parts,
        {"id": parent, "path": path(nodes, parent), "order": order - slot},
        node_id,
        Completion(said, token_ids=None, generated=spent, prompt_tokens=before),
        **what,
    )


def _action(parts: Parts, old: NodeRecord, text: str) -> Action:
    action: Action = old["action"]  # type: ignore[assignment]  # written from an Action
    if action != "finish":
        return action
    stated = parts.forms.statement(Thought(action, Step(text, action)))
    return action if parts.task.is_terminal(stated) else "propose_step"


def _opening(
    parts: Parts, trace: Trace, action: Action, question: Step | None, *, last: bool
) -> Opening:
    """What the policy would be asked in the place of the person."""
    if question is not None:
        return parts.forms.answering(trace, question, last=last)
    return parts.forms.opening(action, trace)


def _completed(text: str, opening: Opening) -> str:
    """A person's text with what a model's would begin and end with."""
    label = opening.prefill
    if label.strip() and not text.lstrip().startswith(label.strip()):
        text = f"{label.rstrip()} {text.lstrip()}"
    return ended(text, opening.stop)


def _thought(trace: Trace, step: Step, question: Step | None) -> Thought:
    if step.action == "re_answer" and trace.thoughts:
        return replace(trace.thoughts[-1], step=step)
    return Thought(step.action, step, question)
