"""Stored searches are data: how rows of a store are written, and read with suspicion.

LangGraph's own serialiser calls, by default, any function that a row names. Whoever can write to
the store could then run code in every process that reads it. Here only types that hold data
are made; any other row is a `CheckpointError`, before anything of it is made.

That a row was altered within these types is not noticed, unless the store has a key: then
rows are encrypted and authenticated (AES-EAX, LangGraph's `EncryptedSerializer`), and one that
is not is refused. That a whole row was put in another's place is not noticed then either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import ormsgpack
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langchain_qstar.errors import CheckpointError, MissingExtraError, SettingsError

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

DATA: Final = frozenset(
    {
        *(("builtins", each) for each in ("set", "frozenset")),
        *(("datetime", each) for each in ("datetime", "date", "time", "timedelta", "timezone")),
        ("collections", "deque"),
        ("decimal", "Decimal"),
        ("uuid", "UUID"),
        ("langchain_core.documents.base", "Document"),
        ("langchain_core.messages.modifier", "RemoveMessage"),
        *(
            (f"langchain_core.messages.{kind.lower()}", f"{kind}Message{chunk}")
            for kind in ("Human", "AI", "System", "Chat", "Tool", "Function")
            for chunk in ("", "Chunk")
        ),
        *(
            ("langgraph.types", each)
            for each in ("Send", "Interrupt", "Command", "Overwrite", "StateSnapshot", "PregelTask")
        ),
    }
)
"""The types that rows may name: what graphs of ours and of messages store."""

METHODS: Final = frozenset({("datetime", "datetime", "fromisoformat")})
_KINDS: Final = frozenset({"msgpack", "null", "bytes", "bytearray"})
_METHOD, _ARRAY, _DELTA = 3, 6, 7  # LangGraph's numbers of the kinds of extension

KEY_BYTES: Final = (16, 24, 32)


class StrictSerializer(JsonPlusSerializer):
    """Writes as LangGraph does, and reads nothing but data.

    Types of a graph's own state, which LangGraph allows when it compiles the graph, are read, too.
    """

    def __init__(self) -> None:
        """Allow nothing beyond `DATA`."""
        super().__init__(pickle_fallback=False, allowed_msgpack_modules=None)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value of a row.

        Raises:
            CheckpointError: It names what is no data, or is none.
        """
        kind, content = data
        if kind not in _KINDS:
            raise _refused(f"is of the kind {kind!r:.40}")
        try:
            if kind == "msgpack":
                _Examined(self._allowed()).value(content)
            return super().loads_typed((kind, content))
        except CheckpointError:
            raise
        except Exception as error:  # whatever a parser does with foreign bytes
            raise _refused(f"cannot be read ({type(error).__name__})") from error

    def _allowed(self) -> frozenset[tuple[str, ...]]:
        own = self._allowed_msgpack_modules
        return DATA | frozenset(own) if isinstance(own, (set, frozenset)) else DATA


class _Examined:
    """Reads a row without making anything of what it names."""

    def __init__(self, allowed: frozenset[tuple[str, ...]]) -> None:
        self._allowed = allowed
        self._problem: CheckpointError | None = None

    def value(self, content: bytes) -> Any:
        try:
            return ormsgpack.unpackb(
                content, ext_hook=self._extension, option=ormsgpack.OPT_NON_STR_KEYS
            )
        except Exception:
            if self._problem is not None:  # which the parser does not pass on
                raise self._problem from None
            raise

    def _extension(self, code: int, content: bytes) -> Any:
        parts = self.value(content)
        if code in {_ARRAY, _DELTA}:
            return None
        named = (parts[0], parts[1], parts[3]) if code == _METHOD else (parts[0], parts[1])
        if named not in (METHODS if code == _METHOD else self._allowed):
            self._problem = _refused(f"names {'.'.join(map(str, named))!r:.80}")
            raise self._problem
        return None


class SealedSerializer(StrictSerializer):
    """Encrypts, and reads nothing that was not encrypted with the same key.

    No subclass of `EncryptedSerializer`, of which only the cipher is taken: that reads rows in
    clear, too, and is made anew, as itself, when a graph is compiled.
    """

    def __init__(self, key: bytes) -> None:
        """Encrypt with `key`."""
        super().__init__()
        self._cipher = EncryptedSerializer.from_pycryptodome_aes(self, key=key).cipher

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """The kind of a row and its bytes."""
        kind, content = super().dumps_typed(obj)
        name, sealed = self._cipher.encrypt(content)
        return f"{kind}+{name}", sealed

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value of a row.

        Raises:
            CheckpointError: It was not written with this key, or was altered.
        """
        kind, sealed, name = data[0].partition("+")
        if not sealed:
            raise _refused("is not encrypted")
        try:
            content = self._cipher.decrypt(name, data[1])
        except (ValueError, AssertionError) as error:
            raise _refused("was written with another key, or altered") from error
        return super().loads_typed((kind, content))


def serializer(key: bytes | None) -> SerializerProtocol:
    """What writes and reads the rows of a store.

    Args:
        key: Of 16, 24 or 32 bytes, or None for rows in clear.

    Raises:
        SettingsError: The key has another length.
        MissingExtraError: The extra `encrypted` is not installed.
    """
    if key is None:
        return StrictSerializer()
    given: Any = key
    if not isinstance(given, bytes) or len(given) not in KEY_BYTES:
        raise SettingsError("key: give 16, 24 or 32 bytes, such as secrets.token_bytes(32)")
    try:
        return SealedSerializer(given)
    except ImportError:
        raise MissingExtraError("pycryptodome", "encrypted") from None


def _refused(why: str) -> CheckpointError:
    return CheckpointError(
        f"a stored row {why}; nothing of it was loaded. No search wrote it: look who can write to "
        "the store, and forget the thread or restore a backup"
    )
