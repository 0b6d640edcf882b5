"""The store behind a thread: opening it, what happens when it fails, and forgetting.

For sqlite this module knows how to keep a file well. Any other checkpointer of LangGraph
works too.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langchain_qstar.errors import CheckpointError, MissingExtraError, SettingsError

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite import SqliteSaver

BUSY_SECONDS: Final = 30.0
"""How long a process waits for another one that writes to the same file."""


@contextmanager
def open_checkpoints(path: str | Path) -> Iterator[SqliteSaver]:
    """A sqlite file as a checkpointer, set up for searches.

    Several processes may use one file, each with threads of its own. A commit is not
    flushed to the disk at once (`synchronous=NORMAL`): a kill loses nothing, a power cut
    may lose the last supersteps, and neither damages the file. What is deleted is
    overwritten (`secure_delete`).

    Args:
        path: The file, made when it is missing.

    Yields:
        The checkpointer, until the context ends.

    Raises:
        CheckpointError: The file cannot be opened, or is no such database.
        MissingExtraError: The extra `sqlite` is not installed.
    """
    try:
        from langgraph.checkpoint.sqlite import SqliteSaver
    except ImportError:
        raise MissingExtraError("langgraph-checkpoint-sqlite", "sqlite") from None
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    with closing(connection):
        try:
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA secure_delete=ON")
            saver = SqliteSaver(connection)
            saver.setup()
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        yield saver


def _unusable(path: str | Path, error: sqlite3.Error) -> CheckpointError:
    return CheckpointError(f"{path} cannot be used for checkpoints: {error}; name another file")


@contextmanager
def storing(checkpointer: Any) -> Iterator[None]:
    """Turn what `checkpointer` raises in the body into a `CheckpointError`."""
    file = _file(checkpointer)
    try:
        yield
        if file is not None and not file.exists():
            warnings.warn(
                f"{file} has gone while a search was stored there: the search is not harmed, but "
                "its thread cannot be resumed",
                stacklevel=3,
            )
    except Exception as error:
        if not checkpointer or not _was_in(checkpointer, error):
            raise
        reason = str(error).partition("\n")[0].rstrip(".")
        raise CheckpointError(
            f"the checkpoints cannot be stored or read: {type(error).__name__}: {reason}; "
            "what was stored is kept: bring the store back, then repeat the call"
        ) from error


def _file(checkpointer: Any) -> Path | None:
    """The file of a sqlite checkpointer. When it is deleted, sqlite goes on without a word."""
    connection = getattr(checkpointer, "conn", None)
    if not isinstance(connection, sqlite3.Connection):
        return None
    with suppress(sqlite3.Error):
        name: str = connection.execute("PRAGMA database_list").fetchone()[2]
        return Path(name) if name else None
    return None


def _was_in(checkpointer: Any, error: BaseException) -> bool:
    """Whether the error went through a method of `checkpointer`, or of the copy LangGraph made."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_locals.get("self").__class__ is checkpointer.__class__:
            return True
        trace = trace.tb_next
    return False


def forget(checkpointer: Any, thread_id: str) -> None:
    """Remove a thread and all its checkpoints from a store, for good.

    Of a sqlite file the bytes are gone too: it is vacuumed, which takes as long as copying
    it and waits for other processes.

    Raises:
        SettingsError: There is no checkpointer.
        CheckpointError: The store failed, or another process is using it.
    """
    _needed(checkpointer)
    with storing(checkpointer), _vacuumed():
        checkpointer.delete_thread(thread_id)
        if isinstance(connection := getattr(checkpointer, "conn", None), sqlite3.Connection):
            with checkpointer.lock:
                for statement in VACUUM:
                    connection.execute(statement)


async def aforget(checkpointer: Any, thread_id: str) -> None:
    """As `forget`, for a checkpointer that is asynchronous."""
    _needed(checkpointer)
    with storing(checkpointer), _vacuumed():
        await checkpointer.adelete_thread(thread_id)
        connection: Any = getattr(checkpointer, "conn", None)
        if type(connection).__module__.startswith("aiosqlite"):
            async with checkpointer.lock:
                for statement in VACUUM:
                    await (await connection.execute(statement)).close()


VACUUM: Final = ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")
"""The log is emptied into the file, the file is written anew, and so is what that logged."""


def _needed(checkpointer: Any) -> None:
    if not checkpointer:
        raise SettingsError("there is nothing to forget: the chain has no checkpointer")


@contextmanager
def _vacuumed() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise CheckpointError(
            f"the thread's bytes could not be removed: {error}; repeat when no other process "
            "uses the file"
        ) from error
