"""backup: value what the actions wrote, let rollouts go on, and add up what ended ones earned.

Algorithms.md 2.5, steps 3 and 4: a rollout goes on to a random child, and the
reward of its last node is added to every node of its path, the root included.

All new steps go to the checks, and to the Q-value model if there is one, as one batch.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from langchain_qstar.checks.running import StepChecks
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer, aside, beside, score
from langchain_qstar.nodes.rstar.descent import Choose, Descent
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.nodes.rstar.recording import is_appraised, shown, to_score
from langchain_qstar.nodes.rstar.rewards import reward_of
from langchain_qstar.nodes.score_with_q import checked, used
from langchain_qstar.nodes.verdicts import tell_verdicts
from langchain_qstar.protocols import StepScorer
from langchain_qstar.spending.allowance import cut_of, cutting, now
from langchain_qstar.state.channels import put_stats
from langchain_qstar.state.events import BackedUpEvent, ScoredEvent
from langchain_qstar.state.rstar import BackupView, Rollout, Work
from langchain_qstar.tree import Nodes, StatRecord, Stats, lineage


def make_backup(
    parts: Parts, q_model: StepScorer | None, checks: StepChecks, choose: Choose
) -> Beat:
    """The node that ends an expansion.

    Args:
        parts: Of the machine.
        q_model: Q(state, step), for `prior` and `reward` of the settings; may be None.
        checks: What judges the steps.
        choose: Makes the random choices.

    Returns:
        The function of the node. It raises `ModelError` when the scorer returns
        a wrong number of values, or one that is not finite.
    """

    def backup(view: BackupView, write: Writer) -> Generator[Call, Any, Update]:
        nodes, work = view["nodes"], view["work"]
        numbers = {each["tip"]: each["number"] for each in reversed(work["rollouts"])}
        expanded: dict[str, StatRecord] = {
            each["id"]: {"expanded": numbers[each["id"]]} for each in work["expansions"]
        }
        fresh = [child for each in expanded for child in parts.rules.children(nodes, each)]
        fresh += [each for each in numbers if each in work["written"] and each not in fresh]
        fresh = [each for each in fresh if not is_appraised(view["stats"], each)]
        learnt, usage = yield from _appraised(parts, nodes, fresh, q_model, checks)
        tell_verdicts(write, nodes, learnt)
        if "since" in view:
            usage["seconds"] = now() - view["since"]
        if (cut := cutting() or _cut_before(view)) is not None:
            return _stopped_short(work, learnt, usage, cut)
        stats = put_stats(dict(view["stats"]), [expanded, learnt])
        descent = Descent(nodes, stats, parts.rules, work["seed"], choose)
        rollouts = [descent.simulate(each) for each in work["rollouts"]]
        ended = [each for each in rollouts if descent.is_end(each["tip"])]
        rewards = {each["tip"]: stats[each["tip"]].get("reward") or 0.0 for each in ended}
        if learnt and q_model is not None:
            write(_scored(nodes, learnt))
        if ended:
            write(_backed_up(nodes, ended, rewards))
        return {
            "stats": put_stats({}, [expanded, learnt, *_added(ended, rewards)]),
            "in_flight": [each for each in rollouts if each not in ended],
            "ended": [*view["ended"], *(each["tip"] for each in ended)],
            "usage": usage,
        }

    return backup


def _cut_before(view: BackupView) -> str | None:
    """The budget that cut an action of this round short, if one did."""
    reason = cut_of(view.get("usage", {}))
    return None if reason is None else f"max_{reason}"


def _stopped_short(
    work: Work, learnt: dict[str, StatRecord], usage: dict[str, float], cut: str
) -> Update:
    """The update of a round that a budget cut short, with which the search ends.

    No rollout goes on in what is half there: a search that goes on with a larger budget
    expands the same nodes again.
    """
    marks: dict[str, StatRecord] = {each["id"]: {"cut": cut} for each in work["expansions"]}
    return {"stats": put_stats({}, [marks, learnt]), "in_flight": work["rollouts"], "usage": usage}


def _appraised(
    parts: Parts,
    nodes: Nodes,
    fresh: Sequence[str],
    q_model: StepScorer | None,
    checks: StepChecks,
) -> Generator[Call, Any, tuple[dict[str, StatRecord], dict[str, float]]]:
    """What is learnt about new nodes before any rollout meets them, and what it cost."""
    if not fresh:
        return {}, {}
    learnt: dict[str, StatRecord] = {each: {} for each in fresh}
    fresh = [each for each in fresh if nodes[each]["action"] != "retrieve"]  # not to be judged
    requests = [to_score(parts, nodes, each) for each in fresh]
    usage: dict[str, float] = {}
    values: dict[str, float] = {}

    def judge() -> None:
        found = checks.judge_all((each.state, each.steps[0].text) for each in requests)
        for each, verdicts in zip(fresh, found, strict=True):
            learnt[each]["checks"] = [check.model_dump() for check in verdicts]

    if q_model is not None and requests:
        answers, _ = yield beside(score(q_model, requests), judge)
        if answers is None:  # a budget is spent: the search ends without these values
            return {}, {}
        scores = checked(answers, requests, q_model.name)
        values = {each: one.values[0] for each, one in zip(fresh, scores, strict=True)}
        usage = used(scores)
    elif checks.names:
        yield aside(judge)
    for each, stat in learnt.items():
        stat["q"] = values.get(each)
    yield aside(lambda: _reward(parts, nodes, learnt))
    return learnt, usage


def _reward(parts: Parts, nodes: Nodes, learnt: Mapping[str, StatRecord]) -> None:
    for node_id, stat in learnt.items():
        if nodes[node_id]["terminal"]:
            stat["reward"] = reward_of(parts, nodes, node_id, stat["q"])


def _added(ended: Sequence[Rollout], rewards: Mapping[str, float]) -> list[dict[str, StatRecord]]:
    """Each rollout's visit and reward at every node of its path, the root included."""
    return [
        {node_id: {"visits": 1, "value": rewards[each["tip"]]} for node_id in lineage(each["tip"])}
        for each in ended
    ]


def _scored(nodes: Nodes, learnt: Stats) -> ScoredEvent:
    return {
        "type": "scored",
        "nodes": [
            {
                "id": each,
                "text": shown(nodes[each]),
                "q": stat["q"],
                "reward": stat.get("reward"),
                "f": None,
                "closed": None,
            }
            for each, stat in learnt.items()
        ],
    }


def _backed_up(
    nodes: Nodes, ended: Sequence[Rollout], rewards: Mapping[str, float]
) -> BackedUpEvent:
    return {
        "type": "backed_up",
        "rollouts": [
            {
                "rollout": each["number"],
                "id": each["tip"],
                "answer": nodes[each["tip"]]["answer"],
                "reward": rewards[each["tip"]],
            }
            for each in ended
        ],
    }
