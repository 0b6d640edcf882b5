"""Searches stored in a PostgreSQL database: its address, its tables and its connections.

No message and no log holds a password: an address that cannot be read is never quoted, and
of one that can libpq names the host, the port, the user and the database at most.
"""

from __future__ import annotations

import logging
import re
import time
from asyncio import to_thread
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeGuard

from langchain_qstar.chains import jsonb
from langchain_qstar.errors import CheckpointError, MissingExtraError

if TYPE_CHECKING:
    from langgraph.checkpoint.postgres import PostgresSaver
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from psycopg import BaseConnection, Connection

SCHEMES: Final = ("postgresql://", "postgres://")

FORM: Final = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"

WAIT_SECONDS: Final = 30.0
"""How long a search waits for a server that does not answer, or is being restarted."""

DEFAULTS: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "30",  # a server that was cut off is noticed in a minute, not in hours
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "application_name": "langchain-qstar",
}
"""Of libpq, where the address says nothing else; seconds, and `tcp_user_timeout` in ms."""

LOOK_SECONDS: Final = 0.05
"""Between two looks at whether another process has made the tables."""

SETUP_LOCK: Final = int.from_bytes(b"qstar")
"""The advisory lock under which the tables are made; any number that is always the same."""

QUIET: Final = logging.NullHandler()
"""What the pool logs, an error says too; Python would print it where logging is not set up."""

_CONNINFO: Final = re.compile(r"^\w[\w+.-]+:/|(?:^|\s)(?:host|user|dbname|password|service)\s*=")
"""An address of another kind or a mistyped one, which is no file and may hold a password."""


def is_address(target: str | Path) -> TypeGuard[str]:
    """Whether checkpoints go to a PostgreSQL database, and not to a file.

    Raises:
        CheckpointError: It is the address of something else.
    """
    if not isinstance(target, str):
        return False
    if target.startswith(SCHEMES):
        return True
    if _CONNINFO.search(target):
        raise CheckpointError(f"checkpoints go to a file or to {FORM}, and this is neither")
    return False


@contextmanager
def open_database(address: str, serde: SerializerProtocol) -> Iterator[PostgresSaver]:
    """The database as a checkpointer; see `checkpoints.open_checkpoints`."""
    try:
        from langgraph.checkpoint.postgres import PostgresSaver
        from psycopg_pool import ConnectionPool
    except ImportError:
        raise _missing() from None
    options = _options(address)
    with ExitStack() as stack:
        with _opening():
            _prepare(options)
            pool: ConnectionPool[Any] = ConnectionPool(
                kwargs=options,
                check=ConnectionPool.check_connection,
                configure=_configure,
                **_pooled(),
            )
            stack.enter_context(pool)
        yield PostgresSaver(pool, serde=serde)


@asynccontextmanager
async def aopen_database(
    address: str, serde: SerializerProtocol
) -> AsyncIterator[AsyncPostgresSaver]:
    """As `open_database`, for asynchronous calls."""
    try:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
        from psycopg_pool import AsyncConnectionPool
    except ImportError:
        raise _missing() from None
    options = _options(address)
    async with AsyncExitStack() as stack:
        with _opening():
            await to_thread(_prepare, options)
            pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
                kwargs=options,
                check=AsyncConnectionPool.check_connection,
                configure=_aconfigure,
                **_pooled(),
            )
            await stack.enter_async_context(pool)
        yield AsyncPostgresSaver(pool, serde=serde)


def _missing() -> MissingExtraError:
    return MissingExtraError("langgraph-checkpoint-postgres", "postgres")


def _pooled() -> dict[str, Any]:
    """How connections are kept.

    A saver of LangGraph uses one at a time; the pool is there to replace it when it breaks.
    """
    logging.getLogger("psycopg").addHandler(QUIET)
    return {
        "min_size": 0,
        "max_size": 1,
        "timeout": WAIT_SECONDS,
        "reconnect_timeout": WAIT_SECONDS,
        "name": "langchain-qstar",
        "open": False,
    }


def _configure(connection: BaseConnection[Any]) -> None:
    from psycopg.types.json import set_json_dumps, set_json_loads

    set_json_dumps(jsonb.dumps, connection)
    set_json_loads(jsonb.loads, connection)


async def _aconfigure(connection: BaseConnection[Any]) -> None:
    _configure(connection)


def _options(address: str) -> dict[str, Any]:
    """What connections are made with.

    Raises:
        CheckpointError: The address cannot be read. Nothing of it is in the message or in
            the exception's context: a password with special characters may be cut anywhere.
    """
    from psycopg.rows import dict_row

    given = _read(address)
    if given is None:
        raise CheckpointError(
            f"the address of the database cannot be read; its form is {FORM}, with special "
            "characters as %XX, such as %40 for @"
        )
    return {
        **DEFAULTS,
        **given,
        "autocommit": True,
        "prepare_threshold": 0,
        "row_factory": dict_row,
    }


def _read(address: str) -> dict[str, Any] | None:
    """The address as libpq reads it; None when that is an error, or likely not what was meant."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    authority = re.split("[/?]", address.partition("://")[2], maxsplit=1)[0]
    if address.count("@") > 1 or address.count("@") > authority.count("@"):
        return None
    try:
        given = conninfo_to_dict(address)
    except ProgrammingError:
        return None
    ports = str(given.get("port", "")).replace(",", "")
    return given if not ports or ports.isdigit() else None


def _prepare(options: dict[str, Any]) -> None:
    """Make or migrate the tables, unless they are as they must be."""
    from langgraph.checkpoint.postgres import PostgresSaver
    from psycopg import Connection, OperationalError

    connection: Connection[Any]
    with Connection.connect(**options) as connection:
        saver = PostgresSaver(connection)
        deadline = time.monotonic() + WAIT_SECONDS
        while not _is_current(connection, len(saver.MIGRATIONS) - 1):
            # Not pg_advisory_lock: an index that is being built waits for who waits there.
            if _value(connection, "SELECT pg_try_advisory_lock(%s)", SETUP_LOCK):
                saver.setup()  # the lock ends with the connection
                return
            if time.monotonic() > deadline:
                raise OperationalError("another process does not finish making its tables")
            time.sleep(LOOK_SECONDS)


def _is_current(connection: Connection[Any], newest: int) -> bool:
    """Whether the tables are there already. Who may only read and write them needs no more."""
    if _value(connection, "SELECT to_regclass('checkpoint_migrations')") is None:
        return False
    version = _value(connection, "SELECT max(v) FROM checkpoint_migrations")
    return version is not None and version >= newest


def _value(connection: Connection[Any], query: LiteralString, *parameters: Any) -> Any:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return next(iter(row.values()))


@contextmanager
def _opening() -> Iterator[None]:
    from psycopg import Error

    try:
        yield
    except (Error, OSError, ValueError) as error:  # a name that no resolver takes is no Error
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"the PostgreSQL database cannot be used for checkpoints: {reason}"
        ) from error
