"""From the records of a path to the reasoning they make together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from langchain_qstar.actions.shapes import Thought, Trace
from langchain_qstar.protocols import Action, Step
from langchain_qstar.tree import NodeRecord, WrittenText


def trace_of(question: str, records: Iterable[NodeRecord]) -> Trace:
    """The reasoning on a path: a rephrasing and re-answers take the place of what they replace.

    Args:
        question: What the user asked.
        records: The path's records in order, without the root (`tree.path`).

    Returns:
        The trace; its steps keep the model's own token ids.
    """
    trace = Trace(question)
    for record in records:
        trace = _after(trace, record)
    return trace


def _after(trace: Trace, record: NodeRecord) -> Trace:
    action: Action = record["action"]  # type: ignore[assignment]  # written from an Action
    step = _step(record, action)
    if action == "rephrase":
        return replace(trace, rephrased=step)
    if action == "re_answer":
        *before, asked = trace.thoughts
        return replace(trace, thoughts=(*before, replace(asked, step=step)))
    written = record.get("subquestion")
    asked_first = None if written is None else _step(written, "subquestion")
    return replace(trace, thoughts=(*trace.thoughts, Thought(action, step, asked_first)))


def _step(written: WrittenText | NodeRecord, action: Action) -> Step:
    ids = written["token_ids"]
    return Step(
        text=written["text"],
        action=action,
        token_ids=None if ids is None else tuple(ids),
        logprobs=tuple(written["logprobs"]),
    )
