"""Where a server is, which models it lists, and what to do when it does not answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from langchain_qstar.errors import ModelError, ModelSpecError
from langchain_qstar.models.remote.credentials import HIDDEN, apart, bearing, secrets
from langchain_qstar.models.remote.loop_thread import LoopThread
from langchain_qstar.models.remote.transport import (
    Patience,
    RefusedError,
    ServerError,
    SlowError,
    Transport,
    UnreachableError,
)
from langchain_qstar.stopping import wait

_URL: Final = re.compile(r"https?://[^\s/,]+[^\s,]*")


def base_of(url: str) -> str:
    """The base of the endpoints; servers have them under `/v1` unless a path is given.

    Raises:
        ModelSpecError: It is no URL.
    """
    url = url.strip().rstrip("/")
    if not _URL.fullmatch(url) or not _has_host(url):
        raise ModelSpecError(f"{_shown(url)!r} is no URL; write http://HOST:PORT/v1")
    if "?" in url or "#" in url:
        raise ModelSpecError(
            f"{_shown(url)!r} goes on after its path; write http://HOST:PORT/v1, and give a key "
            "as api_key (OPENAI_API_KEY)"
        )
    return url if url.count("/") > 2 else f"{url}/v1"


def _shown(url: str) -> str:
    """As messages may show it: without an account and without what follows the path."""
    return re.split(r"[?#]", re.sub(r"(^|//)[^/]*@", rf"\1{HIDDEN}@", url))[0][:80]


def _has_host(url: str) -> bool:
    """Whether there is a host, and a port that can be one if any."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def to_servers(bases: Sequence[str], patience: Patience, api_key: str | None) -> Transport:
    """A client of these, to which it shows the key or the account that a URL holds.

    Raises:
        SettingsError: The key is none, or the environment's proxy or certificates are.
        ModelSpecError: A URL holds what is no account.
    """
    split = [apart(base) for base in bases]
    return Transport(
        [url for url, _ in split],
        patience,
        bearing(api_key),
        accounts={url: account for url, account in split if account},
        hidden=secrets(api_key, [account for _, account in split]),
    )


def served_models(
    url: str, *, api_key: str | None = None, timeout: float = 600.0
) -> tuple[str, ...]:
    """The names of the models that a server lists; it may list none.

    Args:
        url: Where it is, such as `http://127.0.0.1:8000/v1`.
        api_key: Sent as bearer token.
        timeout: Seconds to wait for its reply.

    Raises:
        ModelSpecError: It is no URL.
        ModelError: No server answers there, or it refuses.
    """
    transport = to_servers([base_of(url)], Patience(timeout, retries=0), api_key)
    (base,) = transport.replicas.urls
    loop = LoopThread(f"models of {base}", transport.close)
    try:
        data = wait(loop.submit(transport.get(base, "/models")))
    except ServerError as error:
        raise ModelError(remedy(error)) from error
    finally:
        loop.close()
    return tuple(str(entry["id"]) for entry in _entries(data) if entry.get("id"))


def window_of(url: str, name: str, data: Mapping[str, Any]) -> int | None:
    """The context length that a list of models tells of ours.

    Raises:
        ModelSpecError: The list holds others only.
    """
    entries = _entries(data)
    if not entries:
        return None
    for entry in entries:
        if entry.get("id") == name:
            length = entry.get("max_model_len")
            return length if isinstance(length, int) else None
    others = ", ".join(str(entry.get("id")) for entry in entries[:3])
    raise ModelSpecError(
        f"{url} does not serve {name!r} but {others}; write openai:{entries[0].get('id')}@{url}"
    )


def _entries(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = data.get("data")
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def remedy(error: ServerError) -> str:
    """The error in one line, with what to do."""
    if isinstance(error, UnreachableError):
        return f"{error}; start the server there, or correct the URL"
    if isinstance(error, SlowError):
        return f"{error}; give it a longer timeout, or fewer requests at a time (max_concurrency)"
    if isinstance(error, RefusedError) and error.status in {401, 403}:
        return f"{error}; pass its api_key (qstar reads it from OPENAI_API_KEY)"
    if isinstance(error, RefusedError):
        return f"{error}; check the URL and the name of the model"
    return f"{error}; look at the server's own log, and whether the URL is one of its API"
