"""The store of a thread: opened well, failing clearly, and forgetting for good."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from langchain_qstar.chains.checkpoints import aopen_checkpoints, open_checkpoints
from langchain_qstar.errors import CheckpointError
from langchain_qstar.models.scripted import ScriptedPolicy

pytest.importorskip("langgraph.checkpoint.sqlite")

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}
QUESTION = "a-question-that-nobody-else-asks"


def open_file(path: Path) -> Any:
    """The checkpointer of a file, as what it is: one with a connection."""
    return open_checkpoints(path)


def aopen_file(path: Path) -> Any:
    """As `open_file`, for asynchronous calls."""
    return aopen_checkpoints(path)


def bytes_of(path: Path) -> bytes:
    """The file and what sqlite keeps beside it."""
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))


def test_a_file_is_opened_for_searches(tmp_path):
    with open_file(tmp_path / "t.sqlite") as saver:
        pragmas = ["journal_mode", "synchronous", "secure_delete"]
        values = [saver.conn.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert values == ["wal", 1, 1]


async def test_a_file_is_opened_for_async_searches(tmp_path):
    async with aopen_file(tmp_path / "t.sqlite") as saver:
        pragmas = ["journal_mode", "synchronous", "secure_delete"]
        rows = [await saver.conn.execute_fetchall(f"PRAGMA {name}") for name in pragmas]
    assert [[*row] for (row,) in rows] == [["wal"], [1], [1]]
    with pytest.raises(CheckpointError, match="name another file"):
        async with aopen_checkpoints(tmp_path / "missing" / "t.sqlite"):
            pytest.fail("it was opened")


def test_a_file_that_is_no_database_is_one_clear_line(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("these are my notes, and no database at all\n" * 50)
    with (
        pytest.raises(CheckpointError, match="not a database; name another file"),
        open_checkpoints(file),
    ):
        pytest.fail("it was opened")
    with (
        pytest.raises(CheckpointError, match="name another file"),
        open_checkpoints(tmp_path / "missing" / "t.sqlite"),
    ):
        pytest.fail("it was opened")


def test_a_forgotten_thread_leaves_no_byte_and_the_others_stay(make, grown, tmp_path):
    path = tmp_path / "t.sqlite"
    with open_checkpoints(path) as saver:
        qstar = make(None, saver)
        kept = qstar.invoke("kept", {"configurable": {"thread_id": "u"}})
        qstar.invoke(QUESTION, THREAD)
        assert QUESTION.encode() in bytes_of(path)
        qstar.forget("t")
        assert QUESTION.encode() not in bytes_of(path)
        assert qstar.graph.get_state(THREAD).metadata is None
        assert grown(qstar.resume("u")) == grown(kept)
    assert QUESTION.encode() not in bytes_of(path)


def test_forgetting_works_for_other_stores_too(make):
    memory = InMemorySaver()
    qstar = make(None, memory)
    qstar.invoke("q", THREAD)
    qstar.forget("t")
    assert not [*memory.list(THREAD)]
    qstar.forget("t")  # nothing is there, and nothing is wrong


async def test_forgetting_waits_for_what_a_cancelled_search_has_left_unread(make, tmp_path):
    path = tmp_path / "t.sqlite"
    async with aopen_checkpoints(path) as saver:
        qstar = make(None, saver)
        await qstar.ainvoke(QUESTION, THREAD)
        left: Any = saver
        unread = await left.conn.execute("select * from writes")
        await unread.fetchone()
        forgetting = asyncio.create_task(qstar.aforget("t"))
        await asyncio.sleep(0.2)
        assert not forgetting.done()
        await unread.close()
        await forgetting
        assert QUESTION.encode() not in bytes_of(path)


async def test_an_async_file_forgets_too(make, tmp_path):
    path = tmp_path / "t.sqlite"
    async with aopen_checkpoints(path) as saver:
        qstar = make(None, saver)
        await qstar.ainvoke(QUESTION, THREAD)
        assert QUESTION.encode() in bytes_of(path)
        await qstar.aforget("t")
        assert QUESTION.encode() not in bytes_of(path)


def test_a_thread_that_another_process_is_writing_to_is_not_half_forgotten(make, tmp_path):
    path = tmp_path / "t.sqlite"
    with open_file(path) as saver:
        qstar = make(None, saver)
        qstar.invoke(QUESTION, THREAD)
        saver.conn.execute("PRAGMA busy_timeout=10")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CheckpointError, match="locked"):
            qstar.forget("t")
        other.execute("ROLLBACK")
        other.close()
        qstar.forget("t")
    assert QUESTION.encode() not in bytes_of(path)


# --- a store that fails in the middle


class Meddling(ScriptedPolicy):
    """Does something to the store at its third call."""

    def __init__(self, script: Any, meddle: Any) -> None:
        super().__init__(script)
        self.meddle = meddle

    def sample(self, requests: Any) -> Any:
        if len(self.calls) == 2:
            self.meddle()
        return super().sample(requests)


def test_a_store_that_closes_in_the_middle_is_one_line_and_what_was_stored_is_kept(
    make, grown, asked_of, tmp_path
):
    path = tmp_path / "t.sqlite"
    with open_file(path) as saver:
        policy = Meddling(make().policy._script, saver.conn.close)
        with pytest.raises(CheckpointError) as failed:
            make(policy, saver).invoke("q", THREAD)
    assert "closed database" in str(failed.value)
    assert "repeat the call" in str(failed.value)
    assert isinstance(failed.value.__cause__, sqlite3.ProgrammingError)
    with open_checkpoints(path) as saver:
        rest = ScriptedPolicy(make().policy._script)
        assert grown(make(rest, saver).invoke("q", THREAD)) == grown(make().invoke("q"))
    assert not {*asked_of(rest)} & {*asked_of(policy)[:2]}


def test_a_file_that_is_removed_in_the_middle_costs_the_thread_and_not_the_answer(
    make, grown, tmp_path
):
    path = tmp_path / "t.sqlite"

    def remove() -> None:
        for each in tmp_path.glob("t.sqlite*"):
            each.unlink()

    with open_checkpoints(path) as saver:
        policy = Meddling(make().policy._script, remove)
        with pytest.warns(UserWarning, match=r"t\.sqlite has gone"):
            solution = make(policy, saver).invoke("q", THREAD)
    assert grown(solution) == grown(make().invoke("q"))


async def test_a_file_that_is_removed_under_an_async_search_is_warned_about_too(
    make, grown, tmp_path
):
    def remove() -> None:
        for each in tmp_path.glob("t.sqlite*"):
            each.unlink()

    async with aopen_checkpoints(tmp_path / "t.sqlite") as saver:
        policy = Meddling(make().policy._script, remove)
        with pytest.warns(UserWarning, match=r"t\.sqlite has gone"):
            solution = await make(policy, saver).ainvoke("q", THREAD)
    assert grown(solution) == grown(make().invoke("q"))


FULL = "PRAGMA max_page_count=1"
"""No page more than there are: to sqlite, a disk that is full."""


def test_a_disk_that_is_full_is_one_line_and_the_search_goes_on_when_there_is_room(
    make, grown, asked_of, tmp_path
):
    with open_file(tmp_path / "t.sqlite") as saver:
        policy = Meddling(make().policy._script, lambda: saver.conn.execute(FULL))
        with pytest.raises(CheckpointError) as failed:
            make(policy, saver).invoke("q", THREAD)
        assert "disk is full" in str(failed.value)
        assert "\n" not in str(failed.value)
        saver.conn.execute("PRAGMA max_page_count=1000000")
        rest = ScriptedPolicy(make().policy._script)
        assert grown(make(rest, saver).invoke("q", THREAD)) == grown(make().invoke("q"))
    assert not {*asked_of(rest)} & {*asked_of(policy)[:2]}


async def test_a_disk_that_is_full_under_an_async_search_is_no_other(make, grown, tmp_path):
    path = tmp_path / "t.sqlite"
    async with aopen_file(path) as saver:
        qstar = make(None, saver)
        await qstar.ainvoke("q", THREAD)
        await saver.conn.execute(FULL)
        with pytest.raises(CheckpointError, match="disk is full"):
            await qstar.ainvoke("r", THREAD)
        await saver.conn.execute("PRAGMA max_page_count=1000000")
        assert grown(await qstar.ainvoke("r", THREAD)) == grown(make().invoke("r"))


def test_a_file_that_stays_is_not_warned_about(make, tmp_path):
    with open_checkpoints(tmp_path / "t.sqlite") as saver, warnings.catch_warnings():
        warnings.simplefilter("error")
        make(None, saver).invoke("q", THREAD)
    with open_checkpoints(":memory:") as saver:
        make(None, saver).invoke("q", THREAD)


def test_an_error_of_a_model_stays_the_error_of_the_model(make, tmp_path):
    def fail() -> None:
        raise sqlite3.OperationalError("of the model's own cache")

    with (
        open_checkpoints(tmp_path / "t.sqlite") as saver,
        pytest.raises(sqlite3.OperationalError, match="own cache"),
    ):
        make(Meddling(make().policy._script, fail), saver).invoke("q", THREAD)


async def test_a_synchronous_store_in_an_async_call_says_what_to_use(make, tmp_path):
    with (
        open_checkpoints(tmp_path / "t.sqlite") as saver,
        pytest.raises(CheckpointError, match="aopen_checkpoints"),
    ):
        await make(None, saver).ainvoke("q", THREAD)


# --- several processes

PROCESS = """
import sys, time
from langchain_qstar.chains import QStarChain
from langchain_qstar.chains.checkpoints import open_checkpoints
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.protocols import Task

class Slow(ScriptedPolicy):
    def sample(self, requests):
        time.sleep(0.005)
        return super().sample(requests)

def steps(text):
    return [f"{text[-2:-1]}{c}{'7' * (text.count(chr(10)) == 3)}\\n" for c in "abc"]

task = Task("t", lambda q: (("user", q),), lambda t: t.split()[-1], lambda t: "7" in t)
settings = {"num_trajectories": 8, "num_samples": 3}
with open_checkpoints(sys.argv[1]) as saver:
    chain = QStarChain(Slow(steps), None, task=task, settings=settings, checkpointer=saver)
    sys.stdin.readline()
    for thread in sys.argv[2:]:
        solution = chain.invoke("q", {"configurable": {"thread_id": thread}})
        print(solution.model_dump_json(exclude={"seconds"}))
"""


@pytest.mark.parametrize("threads", [("a", "b"), ("a", "a")])
def test_two_processes_on_one_file_grow_the_trees_they_would_grow_alone(tmp_path, threads):
    path = str(tmp_path / "t.sqlite")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, path, thread],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for thread in threads
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert found[0] == found[1] != ""
