"""Keys and passwords: how they are shown to a server, and that nobody else sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from langchain_qstar.errors import ModelSpecError, SettingsError

HIDDEN: Final = "***"

_SHORTEST: Final = 4
"""Characters below which a secret is not looked for in texts: it would hide half of them."""


def bearing(api_key: str | None) -> dict[str, str]:
    """The headers that show a key, if there is one; white space around it is dropped.

    Raises:
        SettingsError: It holds what no header may hold.
    """
    key = (api_key or "").strip()
    if not key:
        return {}
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(
            "api_key: it holds white space or characters that no key has, such as a line end "
            "or a typographic sign; copy it again"
        )
    return {"Authorization": f"Bearer {key}"}


def apart(url: str) -> tuple[str, tuple[str, str] | None]:
    """An address without its `USER:PASSWORD@`, and those two.

    Raises:
        ModelSpecError: They are percent-encoded in a way that is none.
    """
    parts = urlsplit(url)
    account, found, host = parts.netloc.rpartition("@")
    if not found:
        return url, None
    user, _, password = account.partition(":")
    try:
        pair = unquote(user, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        raise ModelSpecError("the user or password of the URL is no UTF-8") from None
    return urlunsplit(parts._replace(netloc=host)), pair


def secrets(api_key: str | None, accounts: Sequence[tuple[str, str] | None]) -> tuple[str, ...]:
    """What must stand in no message: the key, and passwords, longest first."""
    known = {(api_key or "").strip(), *(each[1] for each in accounts if each)}
    return tuple(sorted((each for each in known if len(each) >= _SHORTEST), key=len, reverse=True))


def hiding(text: str, hidden: Sequence[str]) -> str:
    """`text` without `hidden`; some servers repeat the key that they refuse."""
    for secret in hidden:
        text = text.replace(secret, HIDDEN)
    return text
