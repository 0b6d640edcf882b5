"""Searches stored in a sqlite file: opening it well, and removing bytes from it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langchain_qstar.errors import CheckpointError, MissingExtraError

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

BUSY_SECONDS: Final = 30.0
"""How long a process waits for another one that writes to the same file."""

PRAGMAS: Final = ("PRAGMA synchronous=NORMAL", "PRAGMA secure_delete=ON")

VACUUM: Final = ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")
"""The log is emptied into the file, the file is written anew, and so is what that logged."""

LOOKS: Final = 40
"""How often it is tried to vacuum a file that this very process still reads."""

LOOK_SECONDS: Final = 0.05

FILES: Final = "PRAGMA database_list"
"""Its first row is the main file; the third column is the name, empty of one in memory."""


@contextmanager
def open_file(path: str | Path, serde: SerializerProtocol) -> Iterator[SqliteSaver]:
    """The file as a checkpointer; see `checkpoints.open_checkpoints`."""
    try:
        from langgraph.checkpoint.sqlite import SqliteSaver
    except ImportError:
        raise MissingExtraError("langgraph-checkpoint-sqlite", "sqlite") from None
    with _opening(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    with closing(connection):
        with _opening(path):
            for statement in PRAGMAS:
                connection.execute(statement)
            saver = SqliteSaver(connection, serde=serde)
            saver.setup()
        yield saver


@asynccontextmanager
async def aopen_file(
    path: str | Path, serde: SerializerProtocol
) -> AsyncIterator[AsyncSqliteSaver]:
    """As `open_file`, for asynchronous calls."""
    try:
        import aiosqlite
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    except ImportError:
        raise MissingExtraError("langgraph-checkpoint-sqlite", "sqlite") from None
    with _opening(path):
        # aiosqlite leaves its thread behind when this fails.
        await asyncio.to_thread(lambda: sqlite3.connect(path).close())
        connection = await aiosqlite.connect(path, timeout=BUSY_SECONDS)
    try:
        with _opening(path):
            await _aexecute(connection, PRAGMAS)
            saver = AsyncSqliteSaver(connection, serde=serde)
            await saver.setup()
        yield saver
    finally:
        await connection.close()


@contextmanager
def _opening(path: str | Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise CheckpointError(
            f"{path} cannot be used for checkpoints: {error}; name another file"
        ) from error


def file_of(checkpointer: Any) -> Path | None:
    """The file of a checkpointer, if it has one."""
    connection = getattr(checkpointer, "conn", None)
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.Error):
            return _named(connection.execute(FILES).fetchone())
    return None


async def afile_of(checkpointer: Any) -> Path | None:
    """As `file_of`, of any checkpointer."""
    connection: Any = getattr(checkpointer, "conn", None)
    if not _is_async(connection):
        return file_of(checkpointer)
    with suppress(sqlite3.Error, ValueError):  # aiosqlite's way to say that it is closed
        async with connection.execute(FILES) as rows:
            return _named(await rows.fetchone())
    return None


def _named(row: Any) -> Path | None:
    return Path(row[2]) if row[2] else None


def vacuum(checkpointer: Any) -> None:
    """Write the file of a checkpointer anew, if it has one, without what was deleted."""
    connection = getattr(checkpointer, "conn", None)
    if isinstance(connection, sqlite3.Connection):
        with checkpointer.lock:
            for statement in VACUUM:
                connection.execute(statement)


async def avacuum(checkpointer: Any) -> None:
    """As `vacuum`, for a checkpointer that is asynchronous."""
    if _is_async(connection := getattr(checkpointer, "conn", None)):
        async with checkpointer.lock:
            for look in range(LOOKS):
                try:
                    return await _aexecute(connection, VACUUM)
                except sqlite3.OperationalError as error:
                    # A search that was cancelled while it read leaves its statement to the
                    # garbage collector, and sqlite does not vacuum before that has ended.
                    own = error.sqlite_errorcode == sqlite3.SQLITE_LOCKED  # by this connection
                    if not (own or "in progress" in str(error)) or look == LOOKS - 1:
                        raise
                await asyncio.sleep(LOOK_SECONDS)
    return None


def _is_async(connection: Any) -> bool:
    """Whether it is aiosqlite's, without importing that."""
    return type(connection).__module__.startswith("aiosqlite")


async def _aexecute(connection: Any, statements: tuple[str, ...]) -> None:
    for statement in statements:
        await (await connection.execute(statement)).close()


@contextmanager
def removing() -> Iterator[None]:
    """Turn what sqlite raises in the body, which deletes or vacuums, into a `CheckpointError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise CheckpointError(
            f"the thread's bytes could not be removed: {error}; repeat when no other process "
            "uses the file"
        ) from error
