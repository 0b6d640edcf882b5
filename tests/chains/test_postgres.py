"""Searches stored in a real PostgreSQL: opened, killed, apart, forgotten, cut off."""

from __future__ import annotations

import logging
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig

from langchain_qstar.chains import QStarChain, postgres
from langchain_qstar.chains.checkpoints import aopen_checkpoints, open_checkpoints
from langchain_qstar.errors import CheckpointError, MissingExtraError, QuestionError
from langchain_qstar.models.scripted import ScriptedPolicy

PROGRAM = Path(__file__).with_name("stored_search.py")
TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}
SEARCH = runpy.run_path(str(PROGRAM))

ORPHANS = """
SELECT count(*) FROM (
    SELECT 1 FROM checkpoint_writes w WHERE NOT EXISTS (
        SELECT 1 FROM checkpoints c
        WHERE (c.thread_id, c.checkpoint_ns, c.checkpoint_id)
            = (w.thread_id, w.checkpoint_ns, w.checkpoint_id))
    UNION ALL
    SELECT 1 FROM checkpoint_blobs b WHERE NOT EXISTS (
        SELECT 1 FROM checkpoints c
        WHERE (c.thread_id, c.checkpoint_ns) = (b.thread_id, b.checkpoint_ns)
        AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version)
) AS parts_without_their_whole"""

FAIL_AT_THE_NINTH = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT count(*) FROM checkpoints) >= 8 THEN RAISE EXCEPTION 'no space'; END IF;
    RETURN NEW;
END $$"""


@pytest.fixture
def database(postgres_database):
    return postgres_database


@pytest.fixture
def address(postgres_address):
    return postgres_address


@pytest.fixture
def query(postgres_server, database):
    """Asks the test's own database."""
    return lambda statement: postgres_server.execute(statement, database)


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def one_line(error: BaseException) -> str:
    """What it says; with the whole traceback free of the password of the tests."""
    told = "".join(traceback.format_exception(error))
    assert "s3cret" not in told
    assert "\n" not in str(error)
    return str(error)


def test_without_a_server_to_test_with_ci_fails_and_others_skip(monkeypatch):
    lacks = sys.modules["tests.conftest"]._lacks
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs PostgreSQL"):
        lacks("PostgreSQL")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="needs PostgreSQL"):
        lacks("PostgreSQL")


# --- opening


def settles(query: Any, statement: str, expected: int) -> bool:
    """Whether it comes to that; a connection that is closed is a moment longer in the list."""
    deadline = time.monotonic() + 20
    while query(statement) != [(expected,)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_database_is_opened_for_searches_and_closed_after_them(address, query):
    connections = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name = 'langchain-qstar' AND datname = current_database()"
    )
    for _ in range(2):
        with open_checkpoints(address) as saver:
            saver.get_tuple(THREAD)
            assert settles(query, connections, 1)
        assert settles(query, connections, 0)


def test_many_may_open_a_new_database_at_once(address, query):
    def opened(_: int) -> None:
        with open_checkpoints(address) as saver:
            saver.get_tuple(THREAD)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(opened, range(6))) == [None] * 6
    versions = query("SELECT v FROM checkpoint_migrations ORDER BY v")
    assert [v for (v,) in versions] == list(range(len(versions)))


def test_who_does_not_finish_making_the_tables_is_not_waited_for_for_ever(
    address, postgres_server, database, monkeypatch
):
    import psycopg

    monkeypatch.setattr(postgres, "WAIT_SECONDS", 0.2)
    with psycopg.connect(postgres_server.address(database)) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [postgres.SETUP_LOCK])
        with pytest.raises(CheckpointError, match="another process"), open_checkpoints(address):
            pytest.fail("it was opened")


def test_once_the_tables_are_there_a_role_that_may_only_use_them_is_enough(
    postgres_server, database, address, query, make
):
    with open_checkpoints(address):
        pass
    query("CREATE ROLE clerk LOGIN")
    try:
        query("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        query("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk")
        with open_checkpoints(postgres_server.address(database, who="clerk")) as saver:
            assert make(None, saver).invoke("q", THREAD).answer
    finally:
        query("DROP OWNED BY clerk")
        query("DROP ROLE clerk")


def test_a_role_that_may_not_make_the_tables_is_told_so(postgres_server, database, query):
    query("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    who = f"bob:{quoted(postgres_server.password)}"
    with (
        pytest.raises(CheckpointError) as refused,
        open_checkpoints(postgres_server.address(database, who)),
    ):
        pytest.fail("it was opened")
    assert "permission denied for schema public" in one_line(refused.value)


def quoted(password: str) -> str:
    return "".join(f"%{ord(letter):02X}" for letter in password)


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg_pool", None)
    with pytest.raises(MissingExtraError, match=r"\[postgres\]"), open_checkpoints("postgres://h"):
        pytest.fail("it was opened")


# --- addresses and passwords


@pytest.mark.parametrize(
    ("who", "says"),
    [("bob:s3cretly", "password authentication failed"), ("nobody", 'role "nobody" does not')],
)
async def test_a_refused_login_is_one_line_without_the_password(postgres_server, caplog, who, says):
    caplog.set_level(logging.DEBUG, "psycopg")
    address = postgres_server.address("postgres", who)
    with pytest.raises(CheckpointError) as refused, open_checkpoints(address):
        pytest.fail("it was opened")
    assert says in one_line(refused.value)
    with pytest.raises(CheckpointError) as refused:
        async with aopen_checkpoints(address):
            pytest.fail("it was opened")
    assert says in one_line(refused.value)
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("postgresql://bob:s3cret@127.0.0.1:1/d", "port 1 failed"),
        ("postgresql://bob:s3cret@/d?host=/nowhere", "No such file or directory"),
        ("postgresql://bob:s3cret@/d?host=/nowhere&sslmode=perhaps", "sslmode"),
        pytest.param(
            f"postgresql://bob:s3cret@{'a' * 70}/d",  # refused before any name server is asked
            "cannot be used",
            marks=pytest.mark.enable_socket,
        ),
    ],
)
def test_a_server_that_is_not_there_is_one_line(address, says):
    pytest.importorskip("psycopg")
    with pytest.raises(CheckpointError) as refused, open_checkpoints(address):
        pytest.fail("it was opened")
    assert says in one_line(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://bob:s3cret@s3cret@h/d",
        "postgresql://bob:s3cret/x@h/d",
        "postgresql://bob:12/s3cret@h/d",
        "postgresql://bob:?s3cret@h/d",
        "postgresql://bob:%s3cret@h/d",
        "postgresql://bob:s3cret",
        "postgresql://h/d?pasword=s3cret",
        "postgresql://h/d?password=%s3cret",
        "postgres:/bob:s3cret@h/d",
        "POSTGRESQL://bob:s3cret@h/d",
        "postgresql+psycopg://bob:s3cret@h/d",
        "host=h password=s3cret",
        "password = s3cret",
        "sslmode=require password=s3cret",
    ],
)
def test_an_address_that_cannot_be_read_is_not_quoted(address, tmp_path, monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as refused, open_checkpoints(address):
        pytest.fail("it was opened")
    assert "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" in one_line(refused.value)
    assert refused.value.__context__ is None
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["C:/t.sqlite", "my:store", "what?host=1.sqlite", "a@b.sqlite"])
def test_a_file_may_have_any_other_name(name):
    assert not postgres.is_address(name)
    assert not postgres.is_address(Path("postgresql://h"))


def test_the_password_may_be_anything_and_is_never_logged(
    postgres_server, database, query, caplog, make
):
    caplog.set_level(logging.DEBUG, "psycopg")
    query("GRANT CREATE ON SCHEMA public TO bob")
    address = postgres_server.address(database, f"bob:{quoted(postgres_server.password)}")
    with open_checkpoints(address) as saver:
        assert make(None, saver).invoke("q", THREAD).answer
        assert "s3cret" not in repr(vars(saver))
    assert "langchain-qstar" in caplog.text
    assert "s3cret" not in caplog.text


# --- kills


@pytest.mark.parametrize("batches", [1, 9])
@pytest.mark.parametrize("form", ["sync", "async"])
@pytest.mark.parametrize("method", ["qstar", "rstar"])
def test_a_search_that_is_killed_ends_in_the_same_tree(
    address, query, tmp_path, method, form, batches
):
    whole, log = tmp_path / "whole", tmp_path / "log"
    expected = SEARCH["searched"](address, "whole", method, form, whole)
    argv = [sys.executable, PROGRAM, address, "killed", method, form, log]
    with subprocess.Popen(argv) as process:
        while len(lines(log)) < batches:
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    before = lines(log)
    assert query(ORPHANS) == [(0,)]
    assert len(before) < len(lines(whole))
    assert SEARCH["searched"](address, "killed", method, form, log) == expected
    after = lines(log)[len(before) :]
    if method == "qstar":  # its expansions are one batch each, of rStar several
        assert {*before} & {*after} <= {*before[-1:]}
    elif batches > 1:
        assert len(after) < len(lines(whole))


# --- several at once


def test_two_threads_do_not_see_each_other(address, query, tmp_path):
    with open_checkpoints(address) as saver:
        qstar = SEARCH["chain"]("qstar", tmp_path / "log", saver)
        questions = ["Which letters?", "Which others?"]
        both = qstar.batch(questions, [SEARCH["named"](name) for name in "ab"])
        alone = [
            SEARCH["chain"]("qstar", tmp_path / "log", None).invoke(each) for each in questions
        ]
        assert [SEARCH["found"](each) for each in both] == [SEARCH["found"](each) for each in alone]
        qstar.forget("a")
        assert SEARCH["found"](qstar.resume("b")) == SEARCH["found"](both[1])
    assert query("SELECT DISTINCT thread_id FROM checkpoints") == [("b",)]


@pytest.mark.parametrize("threads", ["ab", "aa"])
def test_two_processes_on_one_database_grow_the_trees_they_would_grow_alone(
    address, tmp_path, threads
):
    argv = [sys.executable, PROGRAM, address]
    rest = ["qstar", "sync", tmp_path / "log"]
    processes = [
        subprocess.Popen([*argv, thread, *rest], stdout=subprocess.PIPE, text=True)
        for thread in threads
    ]
    found = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    alone = SEARCH["chain"]("qstar", tmp_path / "alone", None).invoke(SEARCH["QUESTION"])
    assert found == [SEARCH["found"](alone)] * 2


# --- forgetting


def rows(query: Any) -> list[int]:
    """Of each table, how many rows the thread t has."""
    ask = "SELECT count(*) FROM {} WHERE thread_id = 't'"
    return [query(ask.format(each))[0][0] for each in TABLES]


async def test_a_forgotten_thread_leaves_no_row_and_the_others_stay(address, query, make, grown):
    other: RunnableConfig = {"configurable": {"thread_id": "u"}}
    with open_checkpoints(address) as saver:
        qstar = make(None, saver)
        kept = qstar.invoke("kept", other)
        qstar.invoke("q", THREAD)
        assert all(rows(query))
        qstar.forget("t")
        assert not any(rows(query))
        assert grown(qstar.resume("u")) == grown(kept)
        qstar.forget("t")  # nothing is there, and nothing is wrong
    async with aopen_checkpoints(address) as asaver:
        qstar = make(None, asaver)
        await qstar.ainvoke("q", THREAD)
        assert all(rows(query))
        await qstar.aforget("t")
        assert not any(rows(query))
        assert grown(await qstar.aresume("u")) == grown(kept)


def test_a_thread_is_forgotten_whole_or_not_at_all(address, query, make):
    with open_checkpoints(address) as saver:
        qstar = make(None, saver)
        qstar.invoke("q", THREAD)
        before = rows(query)
        query(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not now'; END $$"
        )
        query(
            "CREATE TRIGGER fail BEFORE DELETE ON checkpoint_writes "
            "FOR EACH ROW EXECUTE FUNCTION fail()"
        )
        with pytest.raises(CheckpointError, match="not now"):
            qstar.forget("t")
        assert rows(query) == before


# --- a server that fails in the middle


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(postgres, "WAIT_SECONDS", 2.0)


@pytest.fixture
def stopped(postgres_server):
    """Stops the server, by `kill -9` if asked; it runs again when the test has ended."""
    state = {"runs": True}

    def stop(how: str = "stop") -> None:
        getattr(postgres_server, how)()
        state["runs"] = False

    def start() -> None:
        if not state["runs"]:
            postgres_server.start()
            state["runs"] = True

    yield stop, start
    start()


def machine(method: str, saver: Any, log: Path, meddle: Any = None) -> Any:
    chain = SEARCH["chain"](method, log, saver)
    if meddle is not None:
        sample, calls = chain.policy.sample, []

        def meddling(requests: Any) -> Any:
            calls.append(requests)
            if len(calls) == 9:
                meddle()
            return sample(requests)

        chain.policy.sample = meddling
    return chain


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("method", ["qstar", "rstar"])
def test_a_search_whose_server_stops_is_one_line_and_goes_on_when_it_is_back(
    address, query, stopped, tmp_path, method
):
    stop, start = stopped
    whole = machine(method, None, tmp_path / "whole").invoke("q")
    log = tmp_path / "log"
    with open_checkpoints(address) as saver:
        with pytest.raises(CheckpointError) as failed:
            machine(method, saver, log, stop).invoke("q", THREAD)
        assert "bring the store back, then repeat the call" in one_line(failed.value)
        before = lines(log)
        with pytest.raises(CheckpointError, match="repeat the call"):
            machine(method, saver, log).invoke("q", THREAD)
        assert lines(log) == before
        start()
        assert query(ORPHANS) == [(0,)]
        resumed = machine(method, saver, log).invoke("q", THREAD)
    assert SEARCH["found"](resumed) == SEARCH["found"](whole)
    assert len(lines(log)) - len(before) < len(lines(tmp_path / "whole"))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("method", ["qstar", "rstar"])
async def test_an_async_search_whose_server_stops_goes_on_too(
    address, query, stopped, tmp_path, method
):
    stop, start = stopped
    whole = machine(method, None, tmp_path / "whole").invoke("q")
    log = tmp_path / "log"
    async with aopen_checkpoints(address) as saver:
        with pytest.raises(CheckpointError) as failed:
            await machine(method, saver, log, stop).ainvoke("q", THREAD)
        assert "bring the store back, then repeat the call" in one_line(failed.value)
        start()
        assert query(ORPHANS) == [(0,)]
        resumed = await machine(method, saver, log).aresume("t")
    assert SEARCH["found"](resumed) == SEARCH["found"](whole)


@pytest.mark.parametrize("method", ["qstar", "rstar"])
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_server_that_is_restarted_is_waited_for(address, stopped, tmp_path, method, how):
    stop, start = stopped
    later = threading.Timer(1.0, start)

    def restart() -> None:
        stop(how)
        later.start()

    with open_checkpoints(address) as saver:
        found = machine(method, saver, tmp_path / "log", restart).invoke("q", THREAD)
    later.join()
    whole = machine(method, None, tmp_path / "whole").invoke("q")
    assert SEARCH["found"](found) == SEARCH["found"](whole)


def test_what_cannot_be_stored_whole_is_not_stored_in_part(address, query, make, grown):
    with open_checkpoints(address) as saver:
        query(FAIL_AT_THE_NINTH)
        query(
            "CREATE TRIGGER fail BEFORE INSERT ON checkpoints FOR EACH ROW EXECUTE FUNCTION fail()"
        )
        with pytest.raises(CheckpointError, match="no space"):
            make(None, saver).invoke("q", THREAD)
        assert query("SELECT count(*) FROM checkpoints") == [(8,)]
        assert query("SELECT count(*) > 0 FROM checkpoint_blobs") == [(True,)]
        assert query(ORPHANS) == [(0,)]
        query("DROP TRIGGER fail ON checkpoints")
        assert grown(make(None, saver).resume("t")) == grown(make().invoke("q"))


async def test_a_blocking_store_in_an_async_call_says_what_to_use(address, make):
    with (
        open_checkpoints(address) as saver,
        pytest.raises(CheckpointError, match="aopen_checkpoints"),
    ):
        await make(None, saver).ainvoke("q", THREAD)


# --- texts


async def test_a_model_may_write_what_the_database_has_no_character_for(address, tmp_path):
    def settings(saver: Any) -> dict[str, Any]:
        one: Any = {"num_trajectories": 1}
        return {"task": SEARCH["LETTERS"], "settings": one, "checkpointer": saver}

    policy = ScriptedPolicy(lambda _: ["7\0b\n"])
    with open_checkpoints(address) as saver:
        qstar = QStarChain(policy, None, **settings(saver))
        assert qstar.invoke("q", THREAD).answer == "7\0b"
        assert qstar.resume("t").answer == "7\0b"
        for unreadable in ("q\0", "q\ud800"):
            with pytest.raises(QuestionError, match="position 1"):
                qstar.invoke(unreadable, THREAD)
    async with aopen_checkpoints(address) as saver:
        qstar = QStarChain(policy, None, **settings(saver))
        assert (await qstar.aresume("t")).answer == "7\0b"
        assert (await qstar.ainvoke("r", THREAD)).answer == "7\0b"
