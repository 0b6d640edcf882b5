"""answer: choose the trajectory to return; without any, complete the best state once.

Choices 7, 8 and 9: the best collected trajectory; else the best complete one
among the open states; else one greedy completion of the best popped state. A
search never raises for want of an answer. With `abstain` only trajectories count that
it would not withhold. Where a second model completed what was collected, its
completions decide instead.

Answers are compared in a thread where others wait, since a task may need computer
algebra for it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, cast

from langchain_qstar.checks.running import StepChecks
from langchain_qstar.nodes.assembly import may_answer, solution_of
from langchain_qstar.nodes.concluding import conclude, is_unanswered
from langchain_qstar.nodes.intervention import is_refused
from langchain_qstar.nodes.lessons import path_lessons, refusals
from langchain_qstar.nodes.mutual.collected import completed_outcome
from langchain_qstar.nodes.mutual.outcome import Outcome
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer, aside, sample
from langchain_qstar.nodes.preface import preface_of
from langchain_qstar.nodes.remembering import learnt
from langchain_qstar.nodes.replies import checked, is_cut, used
from langchain_qstar.nodes.selection import (
    best,
    best_popped,
    choose,
    open_terminals,
    unscored_terminals,
    votes,
)
from langchain_qstar.nodes.verdicts import tell_verdicts
from langchain_qstar.nodes.work import record_of, state_of
from langchain_qstar.protocols import Completion, Policy, SampleRequest, State, Task
from langchain_qstar.seeds import question_seed, sample_seed
from langchain_qstar.settings import QStarSettings
from langchain_qstar.solution import Solution, Stopped
from langchain_qstar.spending.allowance import cutting, now
from langchain_qstar.state.channels import add_usage, put_nodes, put_stats
from langchain_qstar.state.events import AnsweredEvent
from langchain_qstar.state.qstar import AnswerView
from langchain_qstar.stepping.solutions import solution_end
from langchain_qstar.stepping.thinking import CLOSED, is_open
from langchain_qstar.tree import (
    ROOT,
    NodeRecord,
    Nodes,
    StatRecord,
    Stats,
    child_id,
    children,
    reasoning,
    trajectory,
)


def make_answer(policy: Policy, task: Task, settings: QStarSettings, checks: StepChecks) -> Beat:
    """The node that ends a search.

    Args:
        policy: Who completes a state when nothing complete was found.
        task: What an answer is and when two are the same.
        settings: The selection rule, whether to complete at all, and whether to abstain.
        checks: What judges the completion of a fallback.

    Returns:
        The function of the node.
    """

    def answer(view: AnswerView, write: Writer) -> Generator[Call, Any, Update]:
        nodes, stats, usage = view["nodes"], view["stats"], view["usage"]
        collected = view["collected"]
        found = yield aside(lambda: find(nodes, stats, collected, task, settings))
        chosen: str | None = found.chosen
        update: Update = {}
        if chosen is None:
            start = now()
            state = best_popped(nodes, stats)
            if request := _completion(nodes, state, policy, task, settings):
                groups = checked((yield sample(policy, [request])), 1, policy.name)
                completed = groups[0][:1]
                spent = used(groups)
                if any(_is_due(nodes, state, each, task) for each in completed):
                    due = [(request.state, each) for each in completed]
                    completed, asked = yield from conclude(policy, task, request.seeds[0], due)
                    spent = add_usage(spent, asked)
                fresh = _attach(
                    nodes, stats, state, completed, policy=policy, task=task, settings=settings
                )
                spent = spent | {"seconds": now() - start}
                update = {"nodes": fresh, "usage": spent}
                if fresh and checks.names:
                    judged = yield aside(lambda: _judged(checks, request.state, fresh))
                    tell_verdicts(write, fresh, judged)
                    update["stats"] = judged
                    stats = put_stats(dict(stats), [judged])
                nodes, usage = put_nodes(nodes, [fresh]), add_usage(usage, spent)
            chosen = _last_resort(nodes, stats, collected, state, update.get("nodes", {}))
        stopped = cast("Stopped", view["stopped"])
        solution = solution_of(
            nodes,
            stats,
            usage,
            method="qstar",
            chosen=chosen,
            collected=collected,
            votes=found.votes,
            stopped=stopped,
            agreed=found.agreed,
        )
        if memory := preface_of(nodes[ROOT]).get("memory"):
            lessons = path_lessons(nodes, stats, chosen, solution, task)
            refused = refusals(nodes, stats, task)
            yield from learnt(memory, solution.question, lessons, refused)
        write(_event(chosen, solution))
        return update | {"answer": solution.answer, "solution": solution.model_dump(mode="json")}

    return answer


def stored_solution(values: Mapping[str, Any], task: Task, settings: QStarSettings) -> Solution:
    """The solution of a search that has ended, from what is stored of it, without a model."""
    nodes, stats, collected = values["nodes"], values["stats"], values["collected"]
    found = find(nodes, stats, collected, task, settings)
    chosen = found.chosen
    if chosen is None:
        completed = {each: nodes[each] for each in nodes if nodes[each]["action"] == "finish"}
        chosen = _last_resort(nodes, stats, collected, best_popped(nodes, stats), completed)
    return solution_of(
        nodes,
        stats,
        values["usage"],
        method="qstar",
        chosen=chosen,
        collected=collected,
        votes=found.votes,
        stopped=values["stopped"],
        agreed=found.agreed,
    )


def find(
    nodes: Nodes, stats: Stats, collected: list[str], task: Task, settings: QStarSettings
) -> Outcome:
    """The complete trajectory to return, none when no answer of any parses; and the votes."""
    if settings.verify == "after":
        completed = completed_outcome(nodes, stats, collected, task, settings)
        if completed is not None:
            return completed

    def counts(node_id: str) -> bool:
        return may_answer(nodes, stats, node_id, settings.abstain)

    rule, same = settings.selection, task.equivalent
    chosen = choose(nodes, stats, list(filter(counts, collected)), rule, same)
    if chosen is None:
        open_ones = [*open_terminals(nodes, stats), *unscored_terminals(nodes, stats)]
        parsed = (each for each in open_ones if nodes[each]["answer"] is not None)
        chosen = next(filter(counts, parsed), None)
    return Outcome(chosen, votes(nodes, stats, collected, rule, same))


def _judged(checks: StepChecks, state: State, fresh: Nodes) -> dict[str, StatRecord]:
    """The verdicts on a completion, as one step after `state`."""
    return {
        node_id: {"checks": [each.model_dump() for each in checks.judge(state, record["text"])]}
        for node_id, record in fresh.items()
    }


def _last_resort(nodes: Nodes, stats: Stats, collected: list[str], state: str, fresh: Nodes) -> str:
    """What to show without an answer: a completion, else a complete text, else the best state."""
    completed = next(iter(fresh), None)
    if completed is not None and nodes[completed]["answer"] is not None:
        return completed
    complete = best(nodes, stats, collected) or open_terminals(nodes, stats)
    return next(iter(complete), completed or state)


def _completion(
    nodes: Nodes, state: str, policy: Policy, task: Task, settings: QStarSettings
) -> SampleRequest | None:
    """The request for one greedy completion; None when it is not wanted or has no room."""
    run = nodes[ROOT]["run"]
    room = task.solution_tokens
    if policy.window is not None:
        room = min(room, policy.window - nodes[state]["length"])
    if not settings.fallback or "answer" in settings.interrupt or room < 1:
        return None
    written = reasoning(nodes, state)
    prefill = task.prefills.get("finish", "")
    if task.thinks and is_open(written):
        prefill = CLOSED + prefill
    own = question_seed(run["seed"], run["question"])
    return SampleRequest(
        state=state_of(nodes, state, task.messages(run["question"])),
        seeds=(sample_seed(own, state, settings.samples_at(root=state == ROOT)),),
        stop=(),
        max_tokens=room,
        temperature=0.0,
        prefill=prefill,
        ends=solution_end(task, written + prefill),
        thinks=task.thinks,
    )


def _is_due(nodes: Nodes, state: str, completion: Completion, task: Task) -> bool:
    """Whether a completion ended a solution without an answer."""
    text = reasoning(nodes, state) + completion.text
    return completion.finish in ("stop", "eos") and is_unanswered(text, task)


def _attach(
    nodes: Nodes,
    stats: Stats,
    state: str,
    completions: list[Completion],
    *,
    policy: Policy,
    task: Task,
    settings: QStarSettings,
) -> dict[str, NodeRecord]:
    """The completion as one more child of `state`; nothing when it is empty or refused."""
    if not completions or not completions[0].text.strip():
        return {}
    if is_refused(nodes, stats, trajectory(nodes, state) + completions[0].text):
        return {}
    cut = cutting() if is_cut(completions[0]) else None
    node_id = child_id(state, sum(1 for _ in children(nodes, state)))
    record = record_of(
        completions[0],
        node_id,
        nodes,
        order=len(nodes),
        action="finish",
        task=task,
        window=policy.window,
        max_depth=settings.max_depth,
        cut=cut,
    )
    return {node_id: record}


def _event(chosen: str, solution: Solution) -> AnsweredEvent:
    return {
        "type": "answered",
        "id": chosen,
        "answer": solution.answer,
        "stopped": solution.stopped,
    }
