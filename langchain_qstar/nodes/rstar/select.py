"""select: begin rollouts, and name the nodes that they wait for, until the search ends.

Algorithms.md 2.5, steps 1 and 2. A rollout in flight stands at a node without
children; all such nodes are expanded together, each once. A new rollout that
comes to an answer already in the tree needs no model and goes to backup as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from langgraph.types import Command

from langchain_qstar.mcts import exploration_weight
from langchain_qstar.nodes.budgets import spent_budget
from langchain_qstar.nodes.mutual.affording import with_verification
from langchain_qstar.nodes.phase import Beat, Writer
from langchain_qstar.nodes.rstar.descent import Choose, Descent
from langchain_qstar.nodes.rstar.recording import shown
from langchain_qstar.nodes.rstar.slots import Rules
from langchain_qstar.protocols import Action
from langchain_qstar.settings.rstar import EVERY_ACTION, RStarSettings
from langchain_qstar.solution import Stopped
from langchain_qstar.state.events import SelectedEvent
from langchain_qstar.state.rstar import Expansion, SelectView, Work
from langchain_qstar.tree import ROOT, Nodes, path

Next = Command[Any]


def make_select(known: Sequence[Action], choose: Choose) -> Beat:
    """The node that leads the search.

    Args:
        known: The actions that the task has forms for.
        choose: Makes the random choices.

    Returns:
        The function of the node; all settings are read from the root.
    """

    def select(view: SelectView, write: Writer) -> Next:
        run = view["nodes"][ROOT]["run"]
        settings = RStarSettings(**run["settings"])
        descent = Descent(view["nodes"], view["stats"], Rules(known, settings), run["seed"], choose)
        work = view["work"]
        if settings.verify == "during" and len(view["ended"]) > work["verified"]:
            work = {**work, "verified": len(view["ended"]), "expansions": []}
            return Command(update={"work": work}, goto="verify_by_completion")
        stopped = _stop_reason(view, settings, descent)
        if stopped:
            last = settings.verify == "after"
            goto = "verify_by_completion" if last else "answer"
            return Command(update={"stopped": stopped}, goto=goto)
        work = _handed_out(view, settings, descent)
        write(_event(view["nodes"], work, settings))
        update = {"work": work, "since": perf_counter()}
        return Command(update=update, goto=_actions(work, descent.rules) or ["backup"])

    return select


def _stop_reason(view: SelectView, settings: RStarSettings, descent: Descent) -> Stopped | None:
    """Whether the search ends here, and why; rollouts in flight are given up."""
    spent = with_verification(view["nodes"], view["stats"], view["usage"], settings)
    spent["nodes"] = len(view["nodes"])
    if view["work"]["begun"] >= settings.num_rollouts and not view["in_flight"]:
        return "complete"
    if reason := spent_budget(spent, settings.model_dump() | view["nodes"][ROOT].get("left", {})):
        return reason
    if descent.is_end(ROOT):
        return "exhausted"
    return None


def _handed_out(view: SelectView, settings: RStarSettings, descent: Descent) -> Work:
    """The rollouts in flight, new ones among them, and what they wait for."""
    work = view["work"]
    rollouts = list(view["in_flight"])
    begun = work["begun"]
    while len(rollouts) < settings.rollouts_in_flight and begun < settings.num_rollouts:
        weight = exploration_weight(
            settings.schedule, settings.exploration, begun, settings.num_rollouts
        )
        tip = descent.leaf(begun, weight, rollouts)
        rollouts.append({"number": begun, "tip": tip})
        begun += 1
    waiting = dict.fromkeys(
        each["tip"]
        for each in rollouts
        if not descent.is_end(each["tip"]) and not descent.is_expanded(each["tip"])
    )
    expansions, slots = _expansions(view["nodes"], waiting, descent.rules, work["slots"])
    return {**work, "rollouts": rollouts, "expansions": expansions, "begun": begun, "slots": slots}


def _expansions(
    nodes: Nodes, waiting: Mapping[str, None], rules: Rules, order: int
) -> tuple[list[Expansion], int]:
    expansions: list[Expansion] = []
    for node_id in waiting:
        expansions.append({"id": node_id, "path": path(nodes, node_id), "order": order})
        order += sum(slots.count for slots in rules.slots(nodes[node_id]))
    return expansions, order


def _actions(work: Work, rules: Rules) -> list[str]:
    """The actions that take part, in the order of creation."""
    after = {each["path"][-1]["action"] if each["path"] else "root" for each in work["expansions"]}
    return [action for action in EVERY_ACTION if any(rules.follows(action, each) for each in after)]


def _event(nodes: Nodes, work: Work, settings: RStarSettings) -> SelectedEvent:
    return {
        "type": "selected",
        "nodes": [
            {
                "id": each["tip"],
                "text": shown(nodes[each["tip"]]),
                "f": None,
                "terminal": nodes[each["tip"]]["terminal"],
                "rollout": each["number"],
            }
            for each in work["rollouts"]
        ],
        "open": settings.num_rollouts - work["begun"],
    }
