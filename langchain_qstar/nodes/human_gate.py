"""human_gate: ask a person about steps, and put the decision into the tree.

It is in the machine only when the setting `interrupt` asks for it, and it does nothing
else, because LangGraph runs a node that interrupts again from its top. What it asks
about is read from the tree, not handed over: whoever resumes the search may be another
process.
"""

from __future__ import annotations

from typing import Literal, Protocol

from langgraph.config import get_stream_writer
from langgraph.types import Command, interrupt

from langchain_qstar.decisions import read_decision
from langchain_qstar.nodes.answer import find
from langchain_qstar.nodes.intervention import intervene, unapproved, undecided
from langchain_qstar.nodes.verdicts import tell_pruned
from langchain_qstar.nodes.work import unfinished
from langchain_qstar.protocols import Policy, Task
from langchain_qstar.settings import QStarSettings
from langchain_qstar.solution import Check, Interrupt, Pending, PendingStep
from langchain_qstar.state.qstar import GateView
from langchain_qstar.tree import Nodes, Stats, trajectory

Next = Command[Literal["select", "answer"]]


class HumanGate(Protocol):
    """The function of the node."""

    def __call__(self, state: GateView) -> Next:
        """Ask, if there is anything to ask."""
        ...


def make_human_gate(policy: Policy, task: Task, settings: QStarSettings) -> HumanGate:
    """The node that asks.

    Args:
        policy: Whose tokens the length of a person's step is counted in.
        task: What ends a step, and what an answer is.
        settings: When to ask; how the answer is chosen.

    Returns:
        The function of the node. It interrupts with a `Pending` as JSON types and is resumed
        with a decision (`decisions.py`); it raises `DecisionError` for one that it cannot
        follow.
    """

    def human_gate(state: GateView) -> Next:
        nodes, stats = state["nodes"], state["stats"]
        about, asked = _question(state, task, settings)
        update = {}
        if asked:
            pending = Pending(about=about, steps=tuple(_step(nodes, stats, each) for each in asked))
            decision = read_decision(interrupt(pending.model_dump(mode="json")), asked)
            update = intervene(nodes, decision, asked, policy, task)
            tell_pruned(get_stream_writer(), nodes, update["stats"])
            if about == "answer" and (decision.forbid or decision.edit):
                return Command(update=update | {"stopped": ""}, goto="select")
        return Command(update=update, goto="answer" if about == "answer" else "select")

    return human_gate


def _question(view: GateView, task: Task, settings: QStarSettings) -> tuple[Interrupt, list[str]]:
    """What to ask about, and which steps; none when a person has said enough."""
    nodes, stats = view["nodes"], view["stats"]
    if "failed_check" in settings.interrupt and (failed := list(undecided(stats))):
        return "failed_check", failed
    if not view["stopped"]:
        return "expand", unapproved(stats, unfinished(nodes, stats))
    chosen = find(nodes, stats, view["collected"], task, settings)
    return "answer", [] if chosen is None else unapproved(stats, [chosen])


def _step(nodes: Nodes, stats: Stats, node_id: str) -> PendingStep:
    record, learnt = nodes[node_id], stats[node_id]
    return PendingStep(
        id=node_id,
        text=record["text"],
        before=trajectory(nodes, str(record["parent"])),
        answer=record["answer"],
        q=learnt.get("q"),
        f=learnt.get("f"),
        checks=tuple(Check.model_validate(each) for each in learnt.get("checks", ())),
    )
