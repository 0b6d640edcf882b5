"""From records to a `Trace` and back: what the actions continue, and what they leave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from langchain_qstar.actions import Thought, Trace
from langchain_qstar.protocols import Action, Step
from langchain_qstar.tree import NodeRecord, WrittenText


def trace_of(question: str, path: Iterable[NodeRecord]) -> Trace:
    """The reasoning along a path, each re-answer in the place of the answer before it."""
    rephrased: Step | None = None
    thoughts: list[Thought] = []
    for record in path:
        action = cast("Action", record["action"])
        step = _step(record, action)
        match action:
            case "rephrase":
                rephrased = step
            case "re_answer":
                thoughts[-1] = replace(thoughts[-1], step=step)
            case "subquestion":
                asked = _step(record["subquestion"], action)
                thoughts.append(Thought(action, step, asked))
            case _:
                thoughts.append(Thought(action, step))
    return Trace(question, rephrased, tuple(thoughts))


def asked_in(trace: Trace) -> tuple[str, ...]:
    """The question that the thoughts of a trace answer, in its wordings."""
    return (trace.question,) if trace.rephrased is None else (trace.question, trace.rephrased.text)


def _step(written: WrittenText | NodeRecord, action: Action) -> Step:
    ids = written["token_ids"]
    return Step(
        text=written["text"],
        action=action,
        token_ids=None if ids is None else tuple(ids),
        logprobs=tuple(written["logprobs"]),
    )
