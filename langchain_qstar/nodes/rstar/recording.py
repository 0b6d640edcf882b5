"""From what the policy wrote to the records of a tree, and back to what people and scorers read."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_qstar.actions import trace_of
from langchain_qstar.nodes.preface import preface_of, prefaced
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.protocols import Action, Completion, ScoreRequest, State, Step
from langchain_qstar.state.rstar import Expansion
from langchain_qstar.stepping.repeats import repeats
from langchain_qstar.tree import (
    ROOT,
    NodeRecord,
    Nodes,
    Stats,
    WrittenText,
    depth,
    path,
    state_key,
)


def step_by(completion: Completion, action: Action) -> Step:
    """A completion as a step."""
    return Step(completion.text, action, completion.token_ids, completion.logprobs)


def written(completion: Completion) -> WrittenText:
    """A completion as it is stored."""
    ids = completion.token_ids
    return {
        "text": completion.text,
        "token_ids": None if ids is None else list(ids),
        "logprobs": list(completion.logprobs),
    }


def record_of(
    parts: Parts,
    expansion: Expansion,
    node_id: str,
    completion: Completion,
    *,
    action: Action,
    terminal: bool = False,
    answer: str | None = None,
    cut: str | None = None,
) -> NodeRecord:
    """The record of a new step.

    A state that is not terminal is truncated when it is at the greatest depth, or when its
    step repeats an earlier one; then no rollout goes there.

    Args:
        parts: Of the action; its settings say how deep a path may go.
        expansion: The node it is a child of.
        node_id: Its id, whose last number is its slot.
        completion: What the policy wrote.
        action: How it was asked for.
        terminal: Whether it ends a solution.
        answer: The final answer that it states.
        cut: The budget that cut the step short, if one did.
    """
    slot = int(node_id.rpartition(".")[2])
    before = [each["text"] for each in expansion["path"]]
    texts: Sequence[str] = [*before, completion.text]
    whole = cut is None
    again = action == "propose_step" and whole and not terminal and repeats(completion.text, before)
    record: NodeRecord = {
        "id": node_id,
        "parent": expansion["id"],
        "order": expansion["order"] + slot,
        "action": action,
        "text": completion.text,
        "token_ids": None if completion.token_ids is None else list(completion.token_ids),
        "logprobs": list(completion.logprobs),
        "samples": 1,
        "length": completion.prompt_tokens + completion.generated,
        "terminal": terminal and whole,
        "truncated": not whole
        or (not terminal and (again or depth(node_id) >= parts.settings.max_depth)),
        "answer": answer if whole else None,
        "key": state_key("".join(texts)),
    }
    if cut is not None:
        return {**record, "cut": cut}
    return {**record, "repeats": True} if again else record


def is_appraised(stats: Stats, node_id: str) -> bool:
    """Whether a node was valued, as all are once a rollout may meet them."""
    return "q" in stats.get(node_id, {})


def shown(record: NodeRecord) -> str:
    """A step as a person reads it, in whole lines; a sub-question before its answer."""
    asked = record.get("subquestion")
    pieces = [record["text"]] if asked is None else [asked["text"], record["text"]]
    return "".join(each if each.endswith("\n") or not each else f"{each}\n" for each in pieces)


def to_score(parts: Parts, nodes: Nodes, node_id: str) -> ScoreRequest:
    """A step and the state before it, for scorers and checks.

    They read the reasoning as one running text: of a sub-question the answer is the
    step, and of a re-answer the state holds the sub-question without its first answer.
    """
    question = nodes[ROOT]["run"]["question"]
    trace = trace_of(question, path(nodes, node_id))
    steps = [] if trace.rephrased is None else [trace.rephrased]
    for thought in trace.thoughts:
        steps += (
            [thought.step] if thought.subquestion is None else [thought.subquestion, thought.step]
        )
    state = State(question, parts.task.messages(question), tuple(steps[:-1]))
    return ScoreRequest(prefaced(state, preface_of(nodes[ROOT])), (steps[-1],))
