"""Search in the workers of a task queue: processes that are forked, and killed at any time.

    QUEUE_FOLDER=/var/lib/searches huey_consumer task_queue.queue --worker-type process --workers 2

A worker loads its model when it first needs it, so that nothing of a model is forked. A task
names the thread that its search is stored in: who asks again for a task that was lost with its
worker gets the rest of the search, not another one. Needs `huey` and the extra `sqlite`; run as
a program, it starts a consumer, kills it in the middle of a search and starts another.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from huey import SqliteHuey

from langchain_qstar import (
    Policy,
    RStarChain,
    ScriptedPolicy,
    open_checkpoints,
    resolve_policy,
)

QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does she have?"
FOLDER = Path(os.environ.get("QUEUE_FOLDER", "."))
SEARCHES = FOLDER / "searches.sqlite"
SETTINGS: Any = {"num_rollouts": 8}

queue = SqliteHuey(filename=str(FOLDER / "queue.sqlite"))


@cache
def policy() -> Policy:
    """The model of this process, loaded when a task first needs it."""
    return resolve_policy("nano")


@queue.task()  # type: ignore[untyped-decorator]
def solve(question: str, thread: str) -> str | None:
    """The answer of the search that is stored in `thread`."""
    with open_checkpoints(SEARCHES) as store:
        chain = RStarChain(policy(), settings=SETTINGS, checkpointer=store)
        answer: str | None = chain.invoke(question, {"configurable": {"thread_id": thread}}).answer
    return answer


def stored_nodes(thread: str) -> int:
    """How many nodes of the search in `thread` are stored; no model is loaded to look."""
    with open_checkpoints(SEARCHES) as store:
        chain = RStarChain(ScriptedPolicy({}), task="nano", checkpointer=store)
        state = chain.graph.get_state({"configurable": {"thread_id": thread}})
    return len(state.values.get("nodes", {}))


@contextmanager
def consumer() -> Iterator[None]:
    """A consumer with one worker, which is a forked process; in the end both are killed."""
    here = str(Path(__file__).parent)
    options = ["--worker-type", "process", "--workers", "1", "--quiet"]
    command = [sys.executable, "-m", "huey.bin.huey_consumer", "task_queue.queue", *options]
    environment = {**os.environ, "QUEUE_FOLDER": str(FOLDER), "PYTHONPATH": here}
    started = subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603
    try:
        yield
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def main() -> None:
    """Lose a worker in the middle of a search, and ask again for what it was to do."""
    solve(QUESTION, "first")
    with consumer():
        end = time.monotonic() + 120
        while stored_nodes("first") < 12 and time.monotonic() < end:
            time.sleep(0.05)
    print("killed with so many nodes in the store:", stored_nodes("first"))
    asked = solve(QUESTION, "first")
    with consumer():
        print("answer:", asked.get(blocking=True, timeout=120))
    print("nodes now:", stored_nodes("first"))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    with tempfile.TemporaryDirectory() as own:
        os.environ["QUEUE_FOLDER"] = own
        # As a consumer imports it: tasks are named after their module.
        import task_queue

        task_queue.main()
