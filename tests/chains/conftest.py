"""Searches that run in threads: the machines, what they are asked, and where they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langchain_qstar.chains import QStarChain
from langchain_qstar.chains.checkpoints import open_checkpoints
from langchain_qstar.chains.machine import MachineChain
from langchain_qstar.errors import CheckpointError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Task
from langchain_qstar.solution import Solution

MakeChain = Callable[..., MachineChain]

TASK = Task(
    name="letters",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.split()[-1],
    is_terminal=lambda text: any(character.isdigit() for character in text),
)


def steps(text: str) -> list[str]:
    """Six steps a state; those three levels down end a solution."""
    level = text.count("\n")
    return [f"{text[-2:-1]}{letter}{'7' * (level == 3)}\n" for letter in "abcdef"]


def value(text: str) -> float:
    return sum(map(ord, text)) % 7 / 7


def qstar(policy: Any = None, checkpointer: Any = None, **settings: Any) -> QStarChain:
    given = {"num_trajectories": 4, "max_pops": 30, "num_samples": 3, **settings}
    return QStarChain(
        policy or ScriptedPolicy(steps),
        ScriptedScorer(value),
        task=TASK,
        settings=given,
        checkpointer=checkpointer,
    )


@pytest.fixture(params=["qstar"])
def make(request: pytest.FixtureRequest) -> MakeChain:
    """Makes the chain of a machine: `make(policy, checkpointer, **settings)`."""
    return {"qstar": qstar}[request.param]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield InMemorySaver()
        return
    pytest.importorskip("langgraph.checkpoint.sqlite")
    store = str(tmp_path / "threads.sqlite")
    if request.param == "postgres":
        store = request.getfixturevalue("postgres_address")
    with open_checkpoints(store) as stored:
        yield stored


@pytest.fixture
def grown() -> Callable[[Solution], Any]:
    """What a search found, without how long it took."""
    return lambda solution: (
        solution.tree,
        solution.answer,
        solution.steps,
        solution.stopped,
        solution.votes,
    )


@pytest.fixture
def asked_of() -> Callable[[Any], list[str]]:
    """The states that a scripted policy was asked to continue, in order."""
    return lambda policy: [request.state.text for batch in policy.calls for request in batch]


class StoreKilledError(Exception):
    """Not a BaseException, which the thread that stores would not hand on."""


class MortalStore(InMemorySaver):
    """A store that is killed with its process before one of the things it is to keep."""

    killed = (StoreKilledError, CheckpointError)
    """What a search whose store was killed ends with."""

    def __init__(self, left: int = 10**9) -> None:
        super().__init__()
        self.left = left

    def _live(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise StoreKilledError

    def put(self, *args: Any, **options: Any) -> Any:
        self._live()
        return super().put(*args, **options)

    def put_writes(self, *args: Any, **options: Any) -> Any:
        self._live()
        return super().put_writes(*args, **options)


@pytest.fixture
def mortal_store() -> type[MortalStore]:
    """Makes a store, `mortal_store(left)`, that lives until so many things were kept."""
    return MortalStore


@pytest.fixture
def mortal(mortal_policy: Any) -> Callable[[int], ScriptedPolicy]:
    """A policy that dies at one of its calls."""
    return lambda dies_at: mortal_policy(steps, dies_at)
