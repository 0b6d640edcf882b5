"""score_with_q: value and check the new steps, and give the states they lead to their f.

All new steps go to the Q-value model in one batch, and to the process reward
model in another. A state's f is computed when it enters the frontier: at once
in edge mode, after its own continuations were scored in lookahead mode.

Checks run in a thread beside the Q-value model; most verdicts are known by then, for steps
are judged as they are written (`judging.py`). A step that fails a check is closed, penalised
or only reported, as `failed_check` says.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from math import isfinite
from typing import Any, Literal

from langchain_qstar.checks.running import StepChecks
from langchain_qstar.errors import ModelError
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer, aside, beside, score
from langchain_qstar.nodes.verdicts import tell_verdicts
from langchain_qstar.nodes.work import (
    Work,
    is_silent_end,
    silent_ends,
    state_of,
    step_of,
    to_insert,
    to_score,
)
from langchain_qstar.protocols import ScoreRequest, Scores, StepScorer, Task
from langchain_qstar.settings import QStarSettings
from langchain_qstar.solution import Check
from langchain_qstar.spending.allowance import now
from langchain_qstar.state.channels import add_usage, put_stats
from langchain_qstar.state.events import ScoredEvent
from langchain_qstar.state.qstar import WorkView
from langchain_qstar.tree import NodeRecord, StatRecord, children, lineage, path
from langchain_qstar.values import heuristic, path_cost, utility


def make_score_with_q(
    q_model: StepScorer | None,
    reward_model: StepScorer | None,
    task: Task,
    settings: QStarSettings,
    checks: StepChecks,
) -> Beat:
    """The node that scores.

    Args:
        q_model: Q(state, step); None makes h = 0 everywhere.
        reward_model: R_P(state, step); None makes R_P = 0 everywhere.
        task: How the question is prompted, for scorers that read the prompt.
        settings: lambda, the aggregator, the mode of h, and what a failed check does.
        checks: What judges the steps.

    Returns:
        The function of the node. It raises `ModelError` when a scorer returns
        a wrong number of values, or one that is not finite.
    """
    models = ((q_model, "q"), (reward_model, "reward"))
    scorers = [(each, key) for each, key in models if each is not None]

    def score_with_q(view: WorkView, write: Writer) -> Generator[Call, Any, Update]:
        work: Work | None = view.get("work")
        if work is None:  # resumed: select will hand the work out again
            return {}
        groups = to_score(work)
        requests = _requests(work, groups, task)
        learnt: dict[str, StatRecord] = {
            each: {"q": None, "reward": None} for group in groups.values() for each in group
        }
        usage: dict[str, float] = {}

        def judge() -> list[tuple[Check, ...]]:
            return checks.judge_all(
                (each.state, step.text) for each in requests for step in each.steps
            )

        # None until they are known; without checks there are none to wait for.
        verdicts: list[tuple[Check, ...]] | None = None if requests and checks.names else []
        for scorer, key in scorers if requests else ():
            if verdicts is None:
                answers, verdicts = yield beside(score(scorer, requests), judge)
            else:
                answers = yield score(scorer, requests)
            if answers is None:  # a budget is spent: the search ends without these values
                return {"usage": usage | {"seconds": now() - work.since}, "work": work}
            scores = checked(answers, requests, scorer.name)
            values = [value for each in scores for value in each.values]
            for stat, value in zip(learnt.values(), values, strict=True):
                stat[key] = value  # type: ignore[literal-required]
            usage = add_usage(usage, used(scores))
        if verdicts is None:
            verdicts = yield aside(judge)
        for stat, found in zip(learnt.values() if verdicts else (), verdicts, strict=True):
            _judge(stat, found, settings)
        tell_verdicts(write, work.nodes, learnt)
        work = work.with_stats(learnt)
        # An end without text is worth what it ends.
        ends: dict[str, StatRecord] = {
            each: {"q": _known(work, each, "q"), "reward": None} for each in silent_ends(work)
        }
        work = work.with_stats(ends)
        inserted = {each: _utilities(work, each, settings) for each in to_insert(work)}
        stats = put_stats({}, [learnt, ends, inserted])
        work = work.with_stats(inserted)
        write(_event(work, stats))
        usage["seconds"] = now() - work.since
        return {"stats": stats, "usage": usage, "work": work}

    return score_with_q


def _judge(stat: StatRecord, checks: Sequence[Check], settings: QStarSettings) -> None:
    """Write down the verdicts on a step, and what follows from a failed one."""
    stat["checks"] = [check.model_dump() for check in checks]
    failed = next((check for check in checks if check.verdict == "failed"), None)
    if failed is None:
        return
    if settings.failed_check == "prune":
        stat["closed"] = f"{failed.name}: {failed.reason}"
    elif settings.failed_check == "penalise":
        stat["reward"] = (stat["reward"] or 0.0) - settings.penalty


def _requests(work: Work, groups: dict[str, list[str]], task: Task) -> list[ScoreRequest]:
    messages = task.messages(work.run["question"])
    return [
        ScoreRequest(
            state_of(work.nodes, parent, messages),
            tuple(step_of(work.nodes[each]) for each in group),
            tuple(work.nodes[each]["samples"] for each in group),
            _known(work, parent, "q"),
        )
        for parent, group in groups.items()
    ]


def _known(work: Work, node_id: str, key: Literal["q", "reward"]) -> float | None:
    """The value of the last step of a path that has one."""
    for each in reversed(lineage(node_id)):
        if (value := work.stats.get(each, {}).get(key)) is not None:
            return value
    return None


def checked(answers: object, requests: Sequence[ScoreRequest], name: str) -> list[Scores]:
    """The scores a model returned; `ModelError` unless there is a finite one for each step."""
    scores = list(answers) if isinstance(answers, Sequence) else []
    counts = [len(each.values) for each in scores]
    asked = [len(each.steps) for each in requests]
    if counts != asked:
        raise ModelError(f"scorer {name} returned {counts} values for {asked} steps")
    for each in scores:
        for value in each.values:
            if not isfinite(value):
                raise ModelError(f"scorer {name} returned {value}, which is not a finite number")
    return scores


def used(scores: Sequence[Scores]) -> dict[str, float]:
    """What one batch of scores cost."""
    spent: dict[str, float] = {
        "calls": 1,
        "completions": sum(each.completions for each in scores),
        "prompt_tokens": sum(each.read_tokens for each in scores),
        "completion_tokens": sum(each.generated_tokens for each in scores),
    }
    return spent | {"stood_in": 1} if any(each.stood_in for each in scores) else spent


def _utilities(work: Work, node_id: str, settings: QStarSettings) -> StatRecord:
    """g, h and f of a state that enters the frontier."""
    rewards = [
        work.stats[each["id"]]["reward"] or 0.0
        for each in path(work.nodes, node_id)
        if each["action"] != "retrieve" and not is_silent_end(each)
    ]
    g = path_cost(settings.aggregator, rewards)
    h = heuristic(_candidates(work, node_id, settings))
    return {"g": g, "h": h, "f": utility(g, h, settings.lam)}


def _candidates(work: Work, node_id: str, settings: QStarSettings) -> list[float]:
    """The Q-values of which h is the best.

    A state with no continuation of its own, terminal or truncated, has that of
    the step that led to it in either mode (choice 1). Passages are not judged: a state
    that they lead to has, where its own steps do not tell, those of the steps beside them,
    so that it is as promising as the best of these until something is made of it.
    """
    record: NodeRecord = work.nodes[node_id]
    ended = record["terminal"] or record["truncated"]
    steps = children(work.nodes, node_id)
    if settings.h_mode == "edge" or ended:
        found = record["action"] == "retrieve"
        steps = children(work.nodes, str(record["parent"])) if found else iter([node_id])
    return [
        work.stats[each]["q"] or 0.0 for each in steps if work.nodes[each]["action"] != "retrieve"
    ]


def _event(work: Work, stats: dict[str, StatRecord]) -> ScoredEvent:
    return {
        "type": "scored",
        "nodes": [
            {
                "id": each,
                "text": work.nodes[each]["text"],
                "q": stat.get("q"),
                "reward": stat.get("reward"),
                "f": stat.get("f"),
                "closed": stat.get("closed"),
            }
            for each, stat in stats.items()
        ],
    }
