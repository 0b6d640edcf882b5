"""human_gate: ask a person about steps, and put the decision into the tree.

It is in a machine only when the setting `interrupt` asks for it, and it does nothing
else, because LangGraph runs a node that interrupts again from its top. What it asks
about is read from the state, not handed over: whoever resumes the search may be another
process. After it the machine selects anew, so that a step which is forbidden now is not
gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from langgraph.config import get_stream_writer
from langgraph.types import Command, interrupt

from langchain_qstar.decisions import read_decision
from langchain_qstar.nodes.assembly import Shown, passages_of, remembered_of, text_of
from langchain_qstar.nodes.intervention import Follow, unapproved, undecided
from langchain_qstar.nodes.verdicts import tell_pruned
from langchain_qstar.solution import Check, Interrupt, Pending, PendingStep
from langchain_qstar.tree import Nodes, Stats, path

View = Mapping[str, Any]
"""What the node reads: `nodes`, `stats`, `stopped`, and what the machine needs of its own."""
Next = Command[Literal["select", "answer"]]


class HumanGate(Protocol):
    """The function of the node; LangGraph reads its parameter by name."""

    def __call__(self, state: Any) -> Next:
        """Ask, and say which node is next."""
        ...


@dataclass(frozen=True, slots=True)
class Gate:
    """What a machine has of its own about asking a person.

    Attributes:
        waiting: The steps that are about to be expanded.
        chosen: The step that is about to become the answer, None when there is none.
        follow: What a decision does.
        shown: The text of a step as a person reads it.
    """

    waiting: Callable[[View], Sequence[str]]
    chosen: Callable[[View], str | None]
    follow: Follow
    shown: Shown = text_of


def make_human_gate(gate: Gate, when: Sequence[Interrupt]) -> HumanGate:
    """The node that asks.

    Args:
        gate: What the machine has of its own.
        when: The setting `interrupt`.

    Returns:
        The function of the node. It interrupts with a `Pending` as JSON types and is resumed
        with a decision (`decisions.py`); it raises `DecisionError` for one that it cannot
        follow.
    """

    def human_gate(state: View) -> Next:
        nodes, stats = state["nodes"], state["stats"]
        about, asked = _question(state, gate, when)
        update = {}
        if asked:
            steps = tuple(_step(nodes, stats, each, gate.shown) for each in asked)
            pending = Pending(about=about, steps=steps)
            decision = read_decision(interrupt(pending.model_dump(mode="json")), asked)
            update = gate.follow(state, decision, asked)
            tell_pruned(get_stream_writer(), nodes, update["stats"])
            if about == "answer" and (decision.forbid or decision.edit):
                return Command(update=update | {"stopped": ""}, goto="select")
        return Command(update=update, goto="answer" if about == "answer" else "select")

    return human_gate


def _question(view: View, gate: Gate, when: Sequence[Interrupt]) -> tuple[Interrupt, list[str]]:
    """What to ask about, and which steps; none when a person has said enough."""
    nodes, stats = view["nodes"], view["stats"]
    if "failed_check" in when and (failed := list(undecided(stats))):
        return "failed_check", _once(nodes, failed, gate.shown)
    if not view["stopped"]:
        return "expand", _once(nodes, unapproved(stats, gate.waiting(view)), gate.shown)
    chosen = gate.chosen(view)
    return "answer", [] if chosen is None else unapproved(stats, [chosen])


def _once(nodes: Nodes, ids: Sequence[str], shown: Shown) -> list[str]:
    """The first of those that read the same after the same steps."""
    first: dict[str, str] = {}
    for each in ids:
        first.setdefault("".join(map(shown, path(nodes, each))), each)
    return list(first.values())


def _step(nodes: Nodes, stats: Stats, node_id: str, shown: Shown) -> PendingStep:
    record, learnt = nodes[node_id], stats.get(node_id, {})
    return PendingStep(
        id=node_id,
        text=shown(record),
        before="".join(map(shown, path(nodes, node_id)[:-1])),
        answer=record["answer"],
        q=learnt.get("q"),
        f=learnt.get("f"),
        checks=tuple(Check.model_validate(each) for each in learnt.get("checks", ())),
        passages=passages_of(record),
        remembered=remembered_of(record),
    )
