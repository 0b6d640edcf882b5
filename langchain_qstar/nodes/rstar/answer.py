"""answer: the winner among the candidates; without any, the question completed once.

A search never raises for want of an answer: when no trajectory states one, the
policy completes the question greedily, and when that says nothing either, the
solution is the trajectory with the most visits, without an answer.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, cast

from langchain_qstar.actions import Thought, Trace
from langchain_qstar.checks.running import StepChecks
from langchain_qstar.nodes.assembly import may_answer, solution_of
from langchain_qstar.nodes.concluding import conclude, is_unanswered
from langchain_qstar.nodes.intervention import is_refused
from langchain_qstar.nodes.lessons import refusals, voted_lessons
from langchain_qstar.nodes.mutual.outcome import Outcome, outcome
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer, aside, sample
from langchain_qstar.nodes.preface import preface_of
from langchain_qstar.nodes.remembering import learnt
from langchain_qstar.nodes.replies import checked, is_cut, used
from langchain_qstar.nodes.rstar.intervention import counting
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.nodes.rstar.recording import record_of, shown, step_by, to_score
from langchain_qstar.protocols import Completion, SampleRequest, Task
from langchain_qstar.seeds import question_seed, sample_seed
from langchain_qstar.settings.rstar import RStarSettings
from langchain_qstar.solution import Solution, Stopped
from langchain_qstar.spending.allowance import now
from langchain_qstar.state.channels import add_usage, put_nodes, put_stats
from langchain_qstar.state.events import AnsweredEvent
from langchain_qstar.state.rstar import EndedView
from langchain_qstar.tree import (
    ROOT,
    NodeRecord,
    Nodes,
    StatRecord,
    Stats,
    child_id,
    depth,
    is_closed,
)


def make_answer(parts: Parts, checks: StepChecks) -> Beat:
    """The node that ends a search.

    Args:
        parts: Of the machine; its settings say whether to complete at all.
        checks: What judges the completion of a fallback.

    Returns:
        The function of the node.
    """

    def answer(view: EndedView, write: Writer) -> Generator[Call, Any, Update]:
        nodes, stats, usage = view["nodes"], view["stats"], view["usage"]
        ended = view["ended"]
        found = yield aside(lambda: outcome(nodes, stats, ended, parts.task, parts.settings))
        chosen: str | None = found.chosen or unvisited(nodes, stats, parts.settings)
        update: Update = {}
        if chosen is None and _completes(parts, stats):
            update = yield from _completed(parts, checks, nodes, stats)
            nodes = put_nodes(dict(nodes), [update.get("nodes", {})])
            stats = put_stats(dict(stats), [update.get("stats", {})])
            usage = add_usage(dict(usage), update.get("usage", {}))
            chosen = next(iter(update.get("nodes", {})), None)
        solution = _solution(
            {"nodes": nodes, "stats": stats, "usage": usage, "ended": ended},
            found,
            chosen,
            cast("Stopped", view["stopped"]),
        )
        if memory := preface_of(nodes[ROOT]).get("memory"):
            lessons = voted_lessons(nodes, stats, solution)
            refused = refusals(nodes, stats, parts.task)
            yield from learnt(memory, solution.question, lessons, refused)
        event: AnsweredEvent = {
            "type": "answered",
            "id": chosen or ROOT,
            "answer": solution.answer,
            "stopped": solution.stopped,
        }
        write(event)
        return update | {"answer": solution.answer, "solution": solution.model_dump(mode="json")}

    return answer


def _completes(parts: Parts, stats: Stats) -> bool:
    """Whether to complete the question: not what a person refused, or would have to see."""
    settings = parts.settings
    refused = is_closed(stats.get(_fallback_id(parts), {}))
    return settings.fallback and "answer" not in settings.interrupt and not refused


def stored_solution(values: Mapping[str, Any], task: Task, settings: RStarSettings) -> Solution:
    """The solution of a search that has ended, from what is stored of it, without a model."""
    nodes = values["nodes"]
    found = outcome(nodes, values["stats"], values["ended"], task, settings)
    stats = values["stats"]
    fallbacks = (each for each in nodes if _is_fallback(nodes[each], stats.get(each, {})))
    chosen = found.chosen or unvisited(nodes, stats, settings) or next(fallbacks, None)
    return _solution(values, found, chosen, values["stopped"])


def unvisited(nodes: Nodes, stats: Stats, settings: RStarSettings) -> str | None:
    """A solution at which no rollout had arrived when the search ended: of most confidence."""
    found = [
        each
        for each, record in nodes.items()
        if record["terminal"]
        and record["answer"] is not None
        and "votes" in record
        and not is_closed(stats.get(each, {}))
        and may_answer(nodes, stats, each, settings.abstain)
    ]
    return max(
        found,
        key=lambda each: (nodes[each].get("confidence", 0.0), -nodes[each]["order"]),
        default=None,
    )


def _is_fallback(record: NodeRecord, learnt: StatRecord) -> bool:
    """Whether it is a completion of the question that nobody voted on, or refused."""
    drawn = record["action"] == "finish" and record["parent"] == ROOT
    return drawn and not is_closed(learnt) and not {"votes", "replaces"} & record.keys()


def _solution(
    values: Mapping[str, Any], found: Outcome, chosen: str | None, stopped: Stopped
) -> Solution:
    nodes, stats = values["nodes"], values["stats"]
    return solution_of(
        nodes,
        stats,
        values["usage"],
        method="rstar",
        chosen=chosen or most_visited(nodes, stats),
        collected=list(dict.fromkeys(counting(stats, values["ended"]))),
        votes=found.votes,
        stopped=stopped,
        agreed=found.agreed,
        shown=shown,
    )


def most_visited(nodes: Nodes, stats: Stats) -> str:
    """The node most rollouts went through, the deeper of equals; the root when there is none."""
    visited = [
        each
        for each, learnt in stats.items()
        if learnt.get("visits") and not is_closed(learnt) and each != ROOT
    ]
    return max(
        visited,
        key=lambda each: (stats[each]["visits"], depth(each), -nodes[each]["order"]),
        default=ROOT,
    )


def _completed(
    parts: Parts, checks: StepChecks, nodes: Nodes, stats: Stats
) -> Generator[Call, Any, Update]:
    """One greedy completion of the question, as one more child of the root, if it says anything."""
    start = now()
    request = _completion(replace(parts, preface=preface_of(nodes[ROOT])), nodes)
    if request is None:
        return {}
    groups = checked((yield sample(parts.policy, [request])), 1, parts.policy.name)
    spent = used(groups)
    completed = [each for each in groups[0][:1] if parts.is_step("finish", each) or is_cut(each)]
    if any(_is_due(parts, each) for each in completed):
        due = [(request.state, each) for each in completed]
        completed, asked = yield from conclude(parts.policy, parts.task, request.seeds[0], due)
        spent = add_usage(spent, asked)
    update: Update = {"usage": spent | {"seconds": now() - start}}
    if completed:
        record = _attached(parts, nodes, completed[0])
        if is_refused(nodes, stats, shown(record), shown):
            return update
        update["nodes"] = {record["id"]: record}
        if checks.names:
            judged = yield aside(lambda: _judged(parts, checks, nodes, record))
            update["stats"] = {record["id"]: judged}
    return update


def _completion(parts: Parts, nodes: Nodes) -> SampleRequest | None:
    run = nodes[ROOT]["run"]
    opening = parts.forms.opening("finish", Trace(run["question"]))
    own = question_seed(run["seed"], run["question"])
    request = parts.request(opening, (sample_seed(own, _fallback_id(parts), 0),))
    return None if request is None else replace(request, temperature=0.0)


def _fallback_id(parts: Parts) -> str:
    """A place after the slots of the root's children."""
    return child_id(ROOT, parts.rules.spare("root"))


def _is_due(parts: Parts, completion: Completion) -> bool:
    """Whether a completion ended the solution without an answer."""
    text = parts.forms.statement(Thought("finish", step_by(completion, "finish")))
    return completion.finish in ("stop", "eos") and is_unanswered(text, parts.task)


def _attached(parts: Parts, nodes: Nodes, completion: Completion) -> NodeRecord:
    order = 1 + max(record["order"] for record in nodes.values())
    node_id = _fallback_id(parts)
    slot = int(node_id.rpartition(".")[2])
    text = parts.forms.statement(Thought("finish", step_by(completion, "finish")))
    cut = parts.cut_of(completion)
    ended = completion.finish != "length" or parts.task.is_terminal(text)
    answer, guessed = parts.task.read(text) if ended else (None, False)
    record = record_of(
        parts,
        {"id": ROOT, "path": [], "order": order - slot},
        node_id,
        completion,
        action="finish",
        terminal=True,
        answer=answer,
        cut=cut,
    )
    if cut is not None:
        return record
    return {**record, "guessed": True} if guessed else record


def _judged(parts: Parts, checks: StepChecks, nodes: Nodes, record: NodeRecord) -> StatRecord:
    request = to_score(parts, put_nodes(dict(nodes), [{record["id"]: record}]), record["id"])
    found = checks.judge(request.state, request.steps[0].text)
    return {"checks": [check.model_dump() for check in found]}
