"""The store behind a thread: opening it, what happens when it fails, and forgetting.

A sqlite file and a PostgreSQL database are opened well here (`sqlite.py`, `postgres.py`).
Any other checkpointer of LangGraph works too; through `open_checkpoints` it reads nothing but
data, as these do (`serializing.py`).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_qstar.chains import postgres, sqlite
from langchain_qstar.chains.serializing import serializer
from langchain_qstar.errors import CheckpointError, SettingsError

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver


def open_checkpoints(
    store: str | Path | BaseCheckpointSaver[Any], *, key: bytes | None = None
) -> AbstractContextManager[BaseCheckpointSaver[Any]]:
    """A sqlite file, a PostgreSQL database or another store as a checkpointer for searches.

    Several processes may use one store, each with threads of its own. A kill loses nothing.

    A commit to a file is not flushed to the disk at once (`synchronous=NORMAL`): a power cut
    may lose the last supersteps, and does not damage the file. What is deleted there is
    overwritten (`secure_delete`).

    In a database the tables of langgraph-checkpoint-postgres are made or migrated. Every
    write is a transaction, with the server's own `synchronous_commit`. A server that is
    restarted is waited for, 30 seconds at most. The address may leave out what libpq knows
    otherwise: the password from `PGPASSWORD` or `~/.pgpass`, the rest from `PGHOST` and the
    like. No message and no log holds a password.

    Args:
        store: A file, made when it is missing, or an address,
            `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, with libpq's parameters after `?`;
            or a checkpointer of any kind, which stays open and as it is: what is returned is
            on the same store, reads nothing but data, and encrypts with `key`.
        key: Encrypts and authenticates every row (AES-EAX): 16, 24 or 32 bytes, the same for
            every process. Without one an altered row is read like any other, as long as it
            holds data; what it names is never called (`serializing.py`).

    Returns:
        A context whose value is the checkpointer, usable until the context ends. For `ainvoke`
        and the like see `aopen_checkpoints`.

    Raises:
        CheckpointError: The file or database cannot be opened, or is no such thing; in the
            context, too, where a row was altered, or names what is no data.
        SettingsError: `key` has another length.
        MissingExtraError: The extra `sqlite`, `postgres` or `encrypted` is not installed.
    """
    if not isinstance(store, (str, Path)):
        return nullcontext(_suspicious(store, key))
    if postgres.is_address(store):
        return postgres.open_database(store, serializer(key))
    return sqlite.open_file(store, serializer(key))


def aopen_checkpoints(
    store: str | Path | BaseCheckpointSaver[Any], *, key: bytes | None = None
) -> AbstractAsyncContextManager[BaseCheckpointSaver[Any]]:
    """As `open_checkpoints`, for `ainvoke`, `astream` and `aresume` in this event loop."""
    if not isinstance(store, (str, Path)):
        return nullcontext(_suspicious(store, key))
    if postgres.is_address(store):
        return postgres.aopen_database(store, serializer(key))
    return sqlite.aopen_file(store, serializer(key))


def _suspicious(
    checkpointer: BaseCheckpointSaver[Any], key: bytes | None
) -> BaseCheckpointSaver[Any]:
    """The same store, whose rows are read as data."""
    from langgraph.checkpoint.base import BaseCheckpointSaver

    if not isinstance(checkpointer, BaseCheckpointSaver):
        raise SettingsError(
            f"no store is a {type(checkpointer).__name__}: give a file, an address of PostgreSQL "
            "or a checkpointer of LangGraph"
        )
    # As LangGraph copies one to allow it the types of a graph.
    reader = copy.copy(checkpointer)
    reader.serde = serializer(key)
    return reader


@contextmanager
def storing(checkpointer: Any) -> Iterator[None]:
    """Turn what `checkpointer` raises in the body into a `CheckpointError`."""
    file = sqlite.file_of(checkpointer)
    with _failing(checkpointer):
        yield
        _missed(file)


@asynccontextmanager
async def astoring(checkpointer: Any) -> AsyncIterator[None]:
    """As `storing`, for calls that do not block."""
    file = await sqlite.afile_of(checkpointer)
    with _failing(checkpointer):
        yield
        _missed(file)


@contextmanager
def _failing(checkpointer: Any) -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        if not checkpointer or not _was_in(checkpointer, error):
            raise
        if isinstance(error, NotImplementedError):
            raise CheckpointError(
                f"{type(checkpointer).__name__} does not do that; for asynchronous calls open "
                "the store with aopen_checkpoints"
            ) from error
        reason = str(error).partition("\n")[0].rstrip(".")
        raise CheckpointError(
            f"the checkpoints cannot be stored or read: {type(error).__name__}: {reason}; "
            "what was stored is kept: bring the store back, then repeat the call"
        ) from error


def _missed(file: Path | None) -> None:
    """Warn of a file that is deleted; sqlite goes on without a word."""
    if file is not None and not file.exists():
        warnings.warn(
            f"{file} has gone while a search was stored there: the search is not harmed, but "
            "its thread cannot be resumed",
            stacklevel=4,
        )


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
    it and waits for other processes. From a PostgreSQL database the rows are deleted in one
    transaction; their bytes go when its autovacuum, its log and its backups get there.

    Raises:
        SettingsError: There is no checkpointer.
        CheckpointError: The store failed, or another process is using it.
    """
    _needed(checkpointer)
    with storing(checkpointer), sqlite.removing():
        checkpointer.delete_thread(thread_id)
        sqlite.vacuum(checkpointer)


async def aforget(checkpointer: Any, thread_id: str) -> None:
    """As `forget`, for a checkpointer that is asynchronous."""
    _needed(checkpointer)
    async with astoring(checkpointer):
        with sqlite.removing():
            await checkpointer.adelete_thread(thread_id)
            await sqlite.avacuum(checkpointer)


def _needed(checkpointer: Any) -> None:
    if not checkpointer:
        raise SettingsError("there is nothing to forget: the chain has no checkpointer")
