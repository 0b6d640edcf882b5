"""select: begin rollouts, and name the nodes that they wait for, until the search ends.

Algorithms.md 2.5, steps 1 and 2. A rollout in flight stands at a node without
children; all such nodes are expanded together, each once. A new rollout that
comes to an answer already in the tree needs no model and goes to backup as it is.

Where a person is asked first, nothing is begun until the reply is in the tree: the
choices are functions of the tree and the number of the rollout, so they are found again,
or, where a step is closed by then, made otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.types import Command

from langchain_qstar.mcts import exploration_weight
from langchain_qstar.nodes.budgets import (
    Budgets,
    budgets_of,
    completes,
    for_completion,
    less,
    spent_budget,
)
from langchain_qstar.nodes.intervention import unapproved, undecided
from langchain_qstar.nodes.mutual.affording import with_verification
from langchain_qstar.nodes.phase import Beat, Writer
from langchain_qstar.nodes.rstar.descent import Choose, Descent
from langchain_qstar.nodes.rstar.intervention import counting
from langchain_qstar.nodes.rstar.recording import is_appraised, shown
from langchain_qstar.nodes.rstar.slots import Rules
from langchain_qstar.protocols import Action
from langchain_qstar.seeds import question_seed
from langchain_qstar.settings.rstar import EVERY_ACTION, RStarSettings
from langchain_qstar.solution import Stopped
from langchain_qstar.spending.allowance import now
from langchain_qstar.state.events import SelectedEvent
from langchain_qstar.state.rstar import Expansion, Rollout, SelectView, Work
from langchain_qstar.tree import ROOT, Nodes, Stats, is_closed, path

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
        nodes, stats = view["nodes"], view["stats"]
        run = nodes[ROOT]["run"]
        settings = RStarSettings(**run["settings"])
        own = question_seed(run["seed"], run["question"])
        descent = Descent(nodes, stats, Rules(known, settings), own, choose)
        work = view["work"]
        if "failed_check" in settings.interrupt and any(undecided(stats)):
            return Command(goto="human_gate")
        if settings.verify == "during" and len(view["ended"]) > work["verified"]:
            work = {**work, "verified": len(view["ended"]), "expansions": []}
            return Command(update={"work": work}, goto="verify_by_completion")
        owed = _owed(work, descent)
        budgets = _budgets(view, settings)
        stopped = _stop_reason(view, settings, descent, budgets)
        if stopped and not owed:
            return Command(update={"stopped": stopped}, goto=_end(settings))
        rollouts, begun = _in_flight(view, settings, descent, owed, stopped=bool(stopped))
        handed = _handed_out(nodes, descent, work, rollouts, begun)
        handed = {**handed, "budgets": budgets}
        if "expand" in settings.interrupt and unapproved(stats, waiting_in(handed)):
            # Begun only when a person agrees: then all this is found again.
            asking: Work = {**handed, "begun": work["begun"], "slots": work["slots"]}
            return Command(update={"work": asking}, goto="human_gate")
        write(_event(nodes, handed, settings))
        update = {"work": handed, "since": now()}
        return Command(update=update, goto=_actions(handed, descent.rules) or ["backup"])

    return select


def _end(settings: RStarSettings) -> str:
    """The first of the nodes that end a search."""
    if settings.verify == "after":
        return "verify_by_completion"
    return before_answer(settings)


def before_answer(settings: RStarSettings) -> str:
    """The answer, or who asks before it."""
    return "human_gate" if "answer" in settings.interrupt else "answer"


def waiting_in(work: Work) -> list[str]:
    """The steps that are about to be expanded."""
    return [each["id"] for each in work["expansions"]]


def _owed(work: Work, descent: Descent) -> list[str]:
    """What a person wrote and no rollout has looked at; it is, whatever is spent."""
    return [
        each
        for each in work["written"]
        if not descent.is_closed(each) and not is_appraised(descent.stats, each)
    ]


def _budgets(view: SelectView, settings: RStarSettings) -> Budgets:
    """What may have been spent before the search ends.

    The rest is for verifying what was found; or, while nothing was, for the completion of the
    question.
    """
    nodes, stats, usage = view["nodes"], view["stats"], view["usage"]
    budgets = budgets_of(nodes[ROOT])
    spent = with_verification(nodes, stats, usage, settings)
    budgets = less(budgets, {key: spent[key] - usage.get(key, 0) for key in spent})
    if completes(settings.model_dump()) and not _has_answer(nodes, stats):
        budgets = less(budgets, for_completion(budgets, settings.completion_share))
    return budgets


def _has_answer(nodes: Nodes, stats: Stats) -> bool:
    """Whether some trajectory ends in an answer, so that no completion will be needed."""
    return any(
        record["terminal"] and record["answer"] is not None and not is_closed(stats.get(each, {}))
        for each, record in nodes.items()
    )


def _stop_reason(
    view: SelectView, settings: RStarSettings, descent: Descent, budgets: Budgets
) -> Stopped | None:
    """Whether the search ends here, and why; rollouts in flight are given up."""
    spent = {**view["usage"], "nodes": len(view["nodes"])}
    if _counted(view) >= settings.num_rollouts and not view["in_flight"]:
        return "complete"
    if reason := spent_budget(spent, budgets):
        return reason
    if descent.is_end(ROOT):
        return "exhausted"
    return None


def _counted(view: SelectView) -> int:
    """The rollouts begun, without those that ended in steps which a person has closed."""
    ended = view["ended"]
    return view["work"]["begun"] - len(ended) + len(counting(view["stats"], ended))


def _in_flight(
    view: SelectView,
    settings: RStarSettings,
    descent: Descent,
    owed: Sequence[str],
    *,
    stopped: bool,
) -> tuple[list[Rollout], int]:
    """All rollouts in flight, new ones among them; and how many were begun by then.

    New ones begin at what a person wrote, then where `Descent.leaf` says. Of a search that
    would have stopped, only those at what a person wrote go on.
    """
    rollouts = [descent.simulate(each) for each in view["in_flight"]]
    if stopped:
        rollouts = [each for each in rollouts if each["tip"] in owed]
    begun, counted = view["work"]["begun"], _counted(view)
    starts = [each for each in owed if all(each != other["tip"] for other in rollouts)]
    most = settings.num_rollouts
    while len(rollouts) < settings.rollouts_in_flight:
        if starts:
            tip = starts.pop(0)
        elif stopped or counted >= most:
            break
        else:
            weight = exploration_weight(settings.schedule, settings.exploration, counted, most)
            tip = descent.leaf(begun, weight, rollouts)
        rollouts.append({"number": begun, "tip": tip})
        begun, counted = begun + 1, counted + 1
    return rollouts, begun


def _handed_out(
    nodes: Nodes, descent: Descent, work: Work, rollouts: list[Rollout], begun: int
) -> Work:
    """The rollouts in flight and what they wait for."""
    waiting = dict.fromkeys(
        each["tip"]
        for each in rollouts
        if not descent.is_end(each["tip"]) and not descent.is_expanded(each["tip"])
    )
    expansions, slots = _expansions(nodes, waiting, descent.rules, work["slots"])
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
        "open": max(0, settings.num_rollouts - work["begun"]),
    }
