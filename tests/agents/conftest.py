"""Agents, and searches that they can call: scripted, small, and some that die."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tracers import BaseTracer

from langchain_qstar.chains import QStarChain
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Task


def deep(text: str) -> list[str]:
    """Answers only 14 steps down: more supersteps than a limit of 25 allows."""
    level = text.count("\n")
    return ["x1\n"] if level >= 14 else [f"{'l' * level}p\n", f"{'l' * level}q\n"]


def wide(text: str) -> list[str]:
    """Steps of which a fifth end, three levels deep."""
    level = text.count("\n")
    return [f"{text[-2:-1]}{c}{'7' * (level == 3)}\n" for c in "abcdef"]


def spread(text: str) -> float:
    return sum(map(ord, text)) % 7 / 7


@pytest.fixture(scope="session")
def letters():
    return Task(
        name="letters",
        messages=lambda question: (("user", question),),
        answer=lambda text: text.split()[-1] if text.split() else None,
        is_terminal=lambda text: any(character.isdigit() for character in text),
    )


@pytest.fixture
def chain(letters):
    """A chain over a script; by default one step answers `a1`."""

    def make(script: Any = None, **options: Any) -> QStarChain:
        policy = options.pop("policy", None) or ScriptedPolicy(script or {"": ["a1\n"]})
        settings = {"num_trajectories": 1}
        q_model = options.pop("q_model", None)
        return QStarChain(policy, q_model, task=letters, **{"settings": settings, **options})

    return make


@pytest.fixture
def deep_chain(chain):
    return chain(deep)


@pytest.fixture
def mortal(letters, mortal_policy):
    """A search of some length whose policy dies at one of its calls; and that policy."""

    def make(dies_at: int) -> tuple[QStarChain, Any]:
        policy = mortal_policy(wide, dies_at)
        return QStarChain(policy, ScriptedScorer(spread), task=letters), policy

    return make


@pytest.fixture
def calling():
    """A message that calls a tool, once for each of the arguments."""

    def make(*arguments: Any, name: str = "solve", text: str = "") -> AIMessage:
        given = [each if isinstance(each, dict) else {"question": each} for each in arguments]
        calls = [{"name": name, "args": each, "id": f"call{n}"} for n, each in enumerate(given)]
        return AIMessage(text, tool_calls=calls)

    return make


@pytest.fixture(params=["memory", "sqlite"])
def saver(request, tmp_path):
    if request.param == "memory":
        from langgraph.checkpoint.memory import InMemorySaver

        yield InMemorySaver()
        return
    sqlite = pytest.importorskip("langgraph.checkpoint.sqlite")
    with sqlite.SqliteSaver.from_conn_string(str(tmp_path / "threads.sqlite")) as stored:
        yield stored


class Recording(BaseTracer):
    """Keeps the runs that a tracing service would be sent, and the custom events."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Any] = []
        self.events: list[tuple[str, Any]] = []

    def _persist_run(self, run: Any) -> None:
        self.runs.append(run)

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.events.append((name, data))

    def path_to(self, name: str) -> list[str]:
        """The names of the runs from a root down to the first one called `name`."""

        def search(run: Any) -> list[str]:
            if run.name == name:
                return [run.name]
            paths = (search(each) for each in run.child_runs)
            return next(([run.name, *path] for path in paths if path), [])

        return next((path for path in map(search, self.runs) if path), [])


@pytest.fixture
def recording():
    return Recording()
