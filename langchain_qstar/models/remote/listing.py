"""What lies at a URL: the base of a server's endpoints, and the models that it lists."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final
from urllib.parse import urlsplit

from langchain_qstar.errors import ModelError, ModelSpecError
from langchain_qstar.models.remote.transport import Patience, ServerError, Transport, remedy

_URL: Final = re.compile(r"https?://[^\s/,]+[^\s,]*")


def base_url(url: str) -> str:
    """The base of the endpoints; servers have them under `/v1` unless a path is given."""
    url = url.strip().rstrip("/")
    if not _URL.fullmatch(url) or not _has_host(url):
        raise ModelSpecError(f"{url[:80]!r} is no URL; write http://HOST:PORT/v1")
    return url if url.count("/") > 2 else f"{url}/v1"


def _has_host(url: str) -> bool:
    """Whether there is a host, and a port that can be one if any."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


async def _list_at(base: str, api_key: str | None, timeout: float) -> Any:  # noqa: ASYNC109
    headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
    transport = Transport([base], Patience(timeout, retries=0), headers)
    try:
        return await transport.get(base, "/models")
    finally:
        await transport.close()


def models_at(url: str, *, api_key: str | None = None, timeout: float = 20.0) -> tuple[str, ...]:
    """The names of the models that a server lists, in its order.

    Args:
        url: Such as `http://127.0.0.1:8000/v1`.
        api_key: What the server wants to see, if anything.
        timeout: Seconds to wait for it.

    Raises:
        ModelSpecError: It is no URL.
        ModelError: No server answers there, or it refuses to say.
    """
    base = base_url(url)
    try:
        data = asyncio.run(_list_at(base, api_key, timeout))
    except ServerError as error:
        raise ModelError(remedy(error)) from error
    return tuple(str(entry["id"]) for entry in _entries(data) if entry.get("id"))


def _entries(data: Any) -> list[dict[str, Any]]:
    listed = data.get("data")
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def window_of(url: str, name: str, data: Any) -> int | None:
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
