from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar.actions import Opening
from langchain_qstar.nodes.phase import Phase
from langchain_qstar.protocols import State, Task
from langchain_qstar.settings import RStarSettings
from langchain_qstar.tree import ROOT, state_key

QUESTION = "What is 3 plus 4?"


def said(text: str) -> str | None:
    """What stands after `answer is`, without its last period."""
    _, marker, after = text.partition("answer is ")
    return after.strip().removesuffix(".") if marker else None


def same(one: str, other: str) -> bool:
    return one.strip("0.") == other.strip("0.")


@pytest.fixture
def task() -> Task:
    """Solutions are lines; an answer is what stands after `answer is`."""
    return Task(
        name="plain",
        messages=lambda question: (("user", question),),
        answer=said,
        is_terminal=lambda text: "answer is " in text,
        equivalent=same,
        solution_tokens=50,
    )


@pytest.fixture
def tree():
    """Makes a tree: its nodes by their ids, (action, text) or (action, text, answer)."""

    def make(steps: dict[str, tuple[str, ...]], seed: int = 0, **settings: Any):
        used = RStarSettings(**settings)
        run = {"question": QUESTION, "seed": seed, "settings": used.model_dump(mode="json")}
        nodes: dict[str, Any] = {ROOT: record(ROOT, "root", "", None, 0) | {"run": run}}
        for order, (node_id, (action, text, *answer)) in enumerate(steps.items(), start=1):
            nodes[node_id] = record(node_id, action, text, next(iter(answer), None), order)
        return nodes

    return make


def record(node_id: str, action: str, text: str, answer: str | None, order: int) -> dict[str, Any]:
    return {
        "id": node_id,
        "parent": node_id.rpartition(".")[0] or None,
        "order": order,
        "action": action,
        "text": text,
        "token_ids": None,
        "logprobs": [],
        "samples": 1,
        "length": 0,
        "terminal": answer is not None,
        "truncated": False,
        "answer": answer,
        "key": state_key(text),
    }


@pytest.fixture
def driven(monkeypatch):
    """Runs the function of a node; what comes back is its update and its events."""
    from langchain_qstar.nodes import phase

    def run(beat: Any, view: Any):
        events: list[Any] = []
        monkeypatch.setattr(phase, "get_stream_writer", lambda: events.append)
        return Phase("node", beat).invoke(view), events

    return run


@pytest.fixture
def view():
    """What the node reads of a tree."""

    def make(nodes: Any, stats: Any = None, ended: Any = (), usage: Any = None):
        return {
            "nodes": nodes,
            "stats": stats or {},
            "usage": usage or {},
            "ended": list(ended),
            "stopped": "complete",
        }

    return make


@pytest.fixture
def opening():
    """What a verifier is asked by a task without forms of its own."""

    def make(question: str, prefix: str) -> Opening:
        return Opening(State(question), (), 50, prefix)

    return make
