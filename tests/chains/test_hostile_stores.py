"""A store that somebody else wrote to: nothing of a hostile row is loaded, and it is said."""

from __future__ import annotations

import pickle
import secrets
import sqlite3
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import ormsgpack
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Interrupt, Send

from langchain_qstar.chains import QStarChain, RStarChain
from langchain_qstar.chains.checkpoints import aopen_checkpoints, open_checkpoints
from langchain_qstar.chains.serializing import StrictSerializer, serializer
from langchain_qstar.errors import CheckpointError, SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy

pytest.importorskip("langgraph.checkpoint.sqlite")

THREAD: Any = {"configurable": {"thread_id": "t"}}
SOLUTION = ScriptedPolicy({"": ["3 + 4 = 7\n"], "3 + 4 = 7\n": ["The answer is 7.\n"]})
CHAINS = {
    "qstar": lambda saver: QStarChain(SOLUTION, None, task="gsm8k", checkpointer=saver),
    "rstar": lambda saver: RStarChain(
        SOLUTION, task="gsm8k", checkpointer=saver, settings={"num_rollouts": 1}
    ),
}


def extension(code, *parts):
    return ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(parts)))


def inside(hostile):
    """The same where a search keeps its own values."""
    return ormsgpack.packb(
        {"v": 4, "id": "1", "ts": "", "channel_values": {"nodes": [ormsgpack.Ext(0, hostile)]}}
    )


HOSTILE = {
    "one argument": lambda shell: ("msgpack", extension(0, "os", "system", shell)),
    "arguments": lambda shell: ("msgpack", extension(1, "os", "system", (shell,))),
    "keywords": lambda shell: ("msgpack", extension(2, "os", "system", {"command": shell})),
    "a method": lambda shell: ("msgpack", extension(3, "os", "path", shell, "system")),
    "an old model": lambda shell: ("msgpack", extension(4, "os", "system", {"command": shell})),
    "a new model": lambda shell: (
        "msgpack",
        extension(5, "subprocess", "Popen", {"args": shell, "shell": True}, "model_validate"),
    ),
    "inside": lambda shell: ("msgpack", inside(ormsgpack.packb(("os", "system", shell)))),
    "below a type that is allowed": lambda shell: (
        "msgpack",
        extension(
            1,
            "langgraph.types",
            "Send",
            ("answer", ormsgpack.Ext(0, ormsgpack.packb(("os", "system", shell)))),
        ),
    ),
    "a pickle": lambda shell: ("pickle", pickle.dumps(shell)),
    "JSON": lambda shell: ("json", b'{"lc": 2, "type": "constructor", "id": ["os", "abort"]}'),
    "no bytes of that kind": lambda shell: ("msgpack", b"\xc1"),
    "nested deeply": lambda shell: ("msgpack", b"\x91" * 100_000 + b"\x00"),
}


@contextmanager
def poisoned(path, kind, content):
    """A file of a search in which every row was replaced."""
    rows = sqlite3.connect(path)
    assert rows.execute("update checkpoints set type=?, checkpoint=?", (kind, content)).rowcount
    rows.commit()
    rows.close()
    with open_checkpoints(path) as saver:
        yield saver


@pytest.mark.parametrize("method", CHAINS)
@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_row_is_one_line_and_runs_nothing(tmp_path, method, attack):
    path, mark = tmp_path / "t.sqlite", tmp_path / "mark"
    with open_checkpoints(path) as saver:
        CHAINS[method](saver).invoke("How many is 3 and 4?", THREAD)
    with poisoned(path, *HOSTILE[attack](f"touch {mark}")) as saver:
        with pytest.raises(CheckpointError, match="a stored row") as raised:
            CHAINS[method](saver).invoke("And 5?", THREAD)
        assert "\n" not in str(raised.value)
    assert not mark.exists()


async def test_a_hostile_row_is_refused_in_asynchronous_calls_too(tmp_path):
    path, mark = tmp_path / "t.sqlite", tmp_path / "mark"
    with open_checkpoints(path) as saver:
        CHAINS["qstar"](saver).invoke("How many is 3 and 4?", THREAD)
    with poisoned(path, *HOSTILE["inside"](f"touch {mark}")):
        async with aopen_checkpoints(path) as saver:
            with pytest.raises(CheckpointError, match=r"names 'os\.system'; nothing of it"):
                await CHAINS["qstar"](saver).ainvoke("And 5?", THREAD)
    assert not mark.exists()


def test_a_hostile_row_of_postgresql_is_refused_too(postgres_address, tmp_path):
    mark = tmp_path / "mark"
    with open_checkpoints(postgres_address) as saver:
        CHAINS["qstar"](saver).invoke("How many is 3 and 4?", THREAD)
        hostile = extension(0, "os", "system", f"touch {mark}")
        opened: Any = saver
        with opened.conn.connection() as connection:
            connection.execute(
                "update checkpoint_blobs set type='msgpack', blob=%s where type != 'empty'",
                (hostile,),
            )
        with pytest.raises(CheckpointError, match=r"names 'os\.system'"):
            CHAINS["qstar"](saver).invoke("And 5?", THREAD)
    assert not mark.exists()


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, "x"], "b": {"c": True}, 3: (4,)},
        [Send("answer", {"x": 1}), Interrupt("why")],
        [HumanMessage("hi"), AIMessage("ho", tool_calls=[])],
        {1, 2},
        b"bytes",
        None,
    ],
)
def test_what_searches_and_conversations_store_is_read_as_by_langgraph(value):
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    written = StrictSerializer().dumps_typed(value)
    assert StrictSerializer().loads_typed(written) == JsonPlusSerializer().loads_typed(written)


KEY = secrets.token_bytes(32)
seals = pytest.mark.skipif(find_spec("Crypto") is None, reason="needs the extra encrypted")


@seals
@pytest.mark.parametrize("method", CHAINS)
def test_with_a_key_a_thread_goes_on_and_the_file_tells_nothing(tmp_path, method):
    path = tmp_path / "t.sqlite"
    for question in ("secret-question-1", "secret-question-2"):
        with open_checkpoints(path, key=KEY) as saver:
            assert CHAINS[method](saver).invoke(question, THREAD).answer == "7"
    told = b"".join(each.read_bytes() for each in tmp_path.glob("t.sqlite*"))
    assert b"3 + 4 = 7" not in told


@seals
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "update checkpoints set checkpoint = cast(x'00' || substr(checkpoint, 2) as blob)",
            "or altered",
        ),
        ("update checkpoints set checkpoint = zeroblob(5)", "or altered"),
        ("update checkpoints set type='msgpack', checkpoint=x'80'", "is not encrypted"),
    ],
)
def test_with_a_key_an_altered_row_is_noticed(tmp_path, change, says):
    path = tmp_path / "t.sqlite"
    with open_checkpoints(path, key=KEY) as saver:
        CHAINS["qstar"](saver).invoke("How many is 3 and 4?", THREAD)
    rows = sqlite3.connect(path)
    assert rows.execute(change).rowcount
    rows.commit()
    rows.close()
    with open_checkpoints(path, key=KEY) as saver, pytest.raises(CheckpointError, match=says):
        CHAINS["qstar"](saver).invoke("And 5?", THREAD)


@seals
def test_another_key_reads_nothing(tmp_path):
    path = tmp_path / "t.sqlite"
    with open_checkpoints(path, key=KEY) as saver:
        CHAINS["qstar"](saver).invoke("How many is 3 and 4?", THREAD)
    for key in (secrets.token_bytes(16), None):
        with open_checkpoints(path, key=key) as saver, pytest.raises(CheckpointError):
            CHAINS["qstar"](saver).invoke("And 5?", THREAD)


@pytest.mark.parametrize("key", [b"", b"short", "x" * 32, b"x" * 31])
def test_a_key_of_another_length_is_refused(key):
    with pytest.raises(SettingsError, match="16, 24 or 32 bytes"):
        serializer(key)


def hostile_in_memory(mark):
    """A saver of LangGraph's own, in which somebody replaced every row."""
    saver = InMemorySaver()
    CHAINS["qstar"](saver).invoke("How many is 3 and 4?", THREAD)
    hostile = HOSTILE["one argument"](f"touch {mark}")
    for checkpoints in saver.storage["t"].values():
        for number, (_, metadata, parent) in checkpoints.items():
            checkpoints[number] = (hostile, metadata, parent)
    return saver


def test_a_checkpointer_of_any_kind_reads_nothing_but_data_through_open_checkpoints(tmp_path):
    mark = tmp_path / "mark"
    refused = pytest.raises(CheckpointError, match=r"names 'os\.system'")
    with open_checkpoints(hostile_in_memory(mark)) as strict, refused:
        CHAINS["qstar"](strict).invoke("And 5?", THREAD)
    assert not mark.exists()


async def test_so_it_does_in_asynchronous_calls(tmp_path):
    mark = tmp_path / "mark"
    async with aopen_checkpoints(hostile_in_memory(mark)) as strict:
        with pytest.raises(CheckpointError, match=r"names 'os\.system'"):
            await CHAINS["qstar"](strict).ainvoke("And 5?", THREAD)
    assert not mark.exists()


@pytest.mark.parametrize("sealed", [False, True])
def test_it_is_the_callers_store_and_the_callers_object_stays_as_it_is(tmp_path, sealed):
    if sealed and find_spec("Crypto") is None:
        pytest.skip("needs the extra encrypted")
    from langgraph.checkpoint.sqlite import SqliteSaver

    key = secrets.token_bytes(32) if sealed else None
    with SqliteSaver.from_conn_string(str(tmp_path / "t.sqlite")) as saver:
        before = saver.serde
        with open_checkpoints(saver, key=key) as strict:
            first = CHAINS["qstar"](strict).invoke("How many is 3 and 4?", THREAD)
        assert saver.serde is before
        with open_checkpoints(saver, key=key) as strict:
            assert CHAINS["qstar"](strict).invoke("How many is 3 and 4?", THREAD) == first
        if sealed:
            with open_checkpoints(saver) as strict, pytest.raises(CheckpointError):
                CHAINS["qstar"](strict).invoke("How many is 3 and 4?", THREAD)


@pytest.mark.parametrize("given", [None, 7, b"file", {"store": 1}])
def test_what_is_no_store_is_refused_in_one_line(given):
    with pytest.raises(SettingsError, match="no store is a"):
        open_checkpoints(given)
