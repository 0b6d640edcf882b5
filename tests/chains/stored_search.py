"""A search that is stored, as a program of its own: one that a test can kill.

    python stored_search.py STORE THREAD METHOD FORM LOG

METHOD is qstar or rstar, FORM is sync or async; every batch that the model has finished is a
line in LOG. The solution is printed as JSON, without how long it took.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig

from langchain_qstar.chains import QStarChain, RStarChain
from langchain_qstar.chains.checkpoints import aopen_checkpoints, open_checkpoints
from langchain_qstar.chains.machine import MachineChain
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Completion, SampleRequest, Task

BATCH_SECONDS = 0.004

LETTERS = Task(
    name="letters",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.split()[-1],
    is_terminal=lambda text: "7" in text,
)


def letters(text: str) -> list[str]:
    """Three steps a state; those four levels down end a solution."""
    end = "7" * (text.count("\n") == 3)
    return [f"{text[-2:-1]}{letter}{end}\n" for letter in "abc"]


def pens(text: str) -> list[str]:
    """A model that follows rStar's actions."""
    last = text.rpartition("\n")[2]
    if last.startswith("Q:"):
        return [" How many pens does Ann have?\n", " How many boxes are there?\n"]
    if last.startswith("A:"):
        return [" Ann has 3*4=12 pens.\n"]
    if last.startswith("Rephrase:"):
        return [" 3 boxes of 4 pens are Ann's. How many pens does Ann have?\n"]
    if "=12" in text:
        return ["" if "The answer is" in text else "The answer is 12.\n"]
    return ["Ann has 3*4=12 pens.\n", "Ann has 4*3=12 pens.\n", "Ann has 3+4=7 pens.\n"]


class Logged(ScriptedPolicy):
    """Takes its time, and notes what it has done."""

    def __init__(self, script: Any, log: Path) -> None:
        super().__init__(script)
        self.log = log

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        time.sleep(BATCH_SECONDS)
        completions = super().sample(requests)
        with self.log.open("a") as lines:
            lines.write(" | ".join("/".join(each.state.text.split()) for each in requests) + "\n")
        return completions


def chain(method: str, log: Path, saver: Any) -> MachineChain:
    if method == "qstar":
        settings = {"num_samples": 3, "num_trajectories": 12, "max_pops": 40}
        scorer = ScriptedScorer(lambda text: sum(map(ord, text)) % 7 / 7)
        policy = Logged(letters, log)
        return QStarChain(policy, scorer, task=LETTERS, settings=settings, checkpointer=saver)
    small: Any = {"num_rollouts": 6, "num_votes": 3, "num_last_votes": 5}
    return RStarChain(Logged(pens, log), task="nano", settings=small, checkpointer=saver)


QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"


def named(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}}


def found(solution: Any) -> str:
    """What must be the same, killed or not."""
    return str(solution.model_dump_json(exclude={"seconds"}))


def search(store: str, thread: str, method: str, log: Path) -> str:
    with open_checkpoints(store) as saver:
        return found(chain(method, log, saver).invoke(QUESTION, named(thread)))


async def asearch(store: str, thread: str, method: str, log: Path) -> str:
    async with aopen_checkpoints(store) as saver:
        return found(await chain(method, log, saver).ainvoke(QUESTION, named(thread)))


def searched(store: str, thread: str, method: str, form: str, log: Path) -> str:
    if form == "async":
        return asyncio.run(asearch(store, thread, method, log))
    return search(store, thread, method, log)


if __name__ == "__main__":
    store, thread, method, form, log = sys.argv[1:]
    sys.stdout.write(searched(store, thread, method, form, Path(log)))
