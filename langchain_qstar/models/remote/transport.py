"""Sending requests: where to, how many at a time, how often again, and for how long.

A reply is read with limits, of its whole time and of its size once it is decompressed, and what
a server says in an error is shown without control characters and without our key.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from langchain_qstar.errors import MissingExtraError
from langchain_qstar.models.remote.credentials import hiding
from langchain_qstar.models.remote.proxies import named, proxy_for, route
from langchain_qstar.models.remote.replicas import Replicas
from langchain_qstar.models.remote.wire import MalformedReplyError, Reply, error_of, read_reply
from langchain_qstar.rendering import plain

try:
    import httpx
    from tenacity import (
        AsyncRetrying,
        RetryCallState,
        retry_if_exception,
        stop_after_attempt,
        wait_exponential,
        wait_random,
    )
except ImportError as missing:
    raise MissingExtraError(missing.name or "httpx", "remote") from missing

_BUSY: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses that may be otherwise next time."""

CONNECT_SECONDS: Final = 10.0
LONGEST_WAIT: Final = 20.0
"""Seconds between two attempts, at most, whatever the server proposes."""

LARGEST_BODY: Final = 64 * 2**20
"""Most bytes of a reply, decompressed."""

_SHOWN: Final = 300
"""Most characters of a server's own words that are shown."""

_LONG_SECRET: Final = 12
"""Characters from which a secret is hidden in what models write, too: what is shorter may be a
word, or a stand-in for a key that is none (`EMPTY`, `not-needed`)."""


class ServerError(Exception):
    """A request that failed at one server."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url} {reason}")
        self.url: Final = url


class UnreachableError(ServerError):
    """No connection, or one that broke."""


class SlowError(ServerError):
    """No reply within the time allowed."""


class BusyError(ServerError):
    """A fault of the server that may pass; it may say after how many seconds."""

    def __init__(self, url: str, status: int, reason: str, after: float) -> None:
        super().__init__(url, reason)
        self.status: Final = status
        self.after: Final = after


class NonsenseError(ServerError):
    """A reply that is no JSON object, or holds no choices."""


class RefusedError(ServerError):
    """The server will not do this, however often it is asked."""

    def __init__(self, url: str, status: int, message: str) -> None:
        super().__init__(url, f"refuses (status {status}): {message}")
        self.status: Final = status
        self.message: Final = message


@dataclass(frozen=True, slots=True)
class Patience:
    """How much is asked of a server.

    Attributes:
        timeout: Seconds to wait for a reply.
        retries: Attempts after the first; one more for every further replica.
        backoff: Seconds before the second attempt; doubled, with jitter, for each after it.
        max_concurrency: Most requests at a time, at each replica.
    """

    timeout: float = 600.0
    retries: int = 4
    backoff: float = 0.5
    max_concurrency: int = 64


class Transport:
    """A client of all replicas; used from one event loop only."""

    def __init__(
        self,
        urls: Sequence[str],
        patience: Patience,
        headers: Mapping[str, str] | None = None,
        *,
        accounts: Mapping[str, tuple[str, str]] | None = None,
        hidden: Sequence[str] = (),
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            urls: The base of each replica, such as `http://127.0.0.1:8000/v1`.
            patience: See there.
            headers: Sent with every request.
            accounts: User and password of a replica, by its base.
            hidden: What is in no message.

        Raises:
            SettingsError: A proxy or certificates that the environment names cannot be used.
        """
        self.replicas = Replicas(urls)
        self._patience = patience
        self._exponential = wait_exponential(
            multiplier=patience.backoff, max=LONGEST_WAIT
        ) + wait_random(0, patience.backoff)
        self._hidden = tuple(hidden)
        self._hidden_in_texts = tuple(each for each in hidden if len(each) >= _LONG_SECRET)
        self._headers, self._accounts = dict(headers or {}), dict(accounts or {})
        self._connect()

    @property
    def has_accounts(self) -> bool:
        """Whether a URL held a user and a password."""
        return bool(self._accounts)

    def _in_this_process(self) -> None:
        """Connect anew where this process was forked."""
        if self._process != os.getpid():
            self._connect()

    def _connect(self) -> None:
        """Make clients of this process: one that was forked must not share connections."""
        timeout = self._patience.timeout
        self._process = os.getpid()
        urls = self.replicas.urls
        self._room = {url: asyncio.Semaphore(self._patience.max_concurrency) for url in urls}
        self._clients = {
            url: httpx.AsyncClient(
                transport=route(url),
                auth=self._accounts.get(url),
                headers=self._headers,
                timeout=httpx.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout), pool=None),
                trust_env=False,  # what the environment says is in the route
            )
            for url in urls
        }

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()

    async def post(self, path: str, body: Mapping[str, Any], key: str) -> Reply:
        """Send `body` to the replica for `key`, or to the next one when that fails.

        Raises:
            ServerError: Every attempt failed; the last one's error.
        """
        return await self._post(path, body, key, self._worth_another)

    async def attempt(self, path: str, body: Mapping[str, Any], key: str) -> Reply | None:
        """Send what a server may not know.

        Returns:
            None when it refuses or breaks over it, which is not held against it.

        Raises:
            ServerError: Every attempt failed for another reason.
        """
        try:
            return await self._post(path, body, key, self._worth_another_attempt)
        except ServerError as error:
            if not _is_refusal(error):
                raise
            self.replicas.answered(error.url)
            return None

    async def _post(
        self,
        path: str,
        body: Mapping[str, Any],
        key: str,
        again: Callable[[BaseException], bool],
    ) -> Reply:
        retrying = AsyncRetrying(
            stop=stop_after_attempt(1 + self._patience.retries + len(self.replicas.urls) - 1),
            wait=self._wait,
            retry=retry_if_exception(again),
            reraise=True,
        )
        reply: Reply = await retrying(self._post_once, path, body, key)
        return reply

    async def get(self, url: str, path: str) -> dict[str, Any]:
        """Ask one replica for something, once."""
        self._in_this_process()
        return await self._send(url, "GET", path, None)

    async def _post_once(self, path: str, body: Mapping[str, Any], key: str) -> Reply:
        self._in_this_process()
        url = self.replicas.best(key)
        async with self._room[url]:
            data = await self._send(url, "POST", path, body)
        try:
            return self._without_secrets(read_reply(data))
        except MalformedReplyError as error:
            raise NonsenseError(url, f"answers oddly: {error}") from error

    async def _send(
        self, url: str, method: str, path: str, body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        try:
            # A server that sends a byte now and then is never silent for long.
            async with asyncio.timeout(self._patience.timeout):
                response, content = await self._exchange(url, method, path, body)
        except httpx.ConnectTimeout as error:
            self.replicas.failed(url)
            raise UnreachableError(url, f"does not accept connections{_by_way_of(url)}") from error
        except (httpx.TimeoutException, TimeoutError) as error:
            self.replicas.failed(url)
            limit = f"{self._patience.timeout:g} s"
            raise SlowError(url, f"gives no answer within {limit}") from error
        except httpx.TransportError as error:
            self.replicas.failed(url)
            reason = self._shown(str(error) or type(error).__name__)
            raise UnreachableError(url, f"cannot be reached{_by_way_of(url)}: {reason}") from error
        except httpx.DecodingError as error:
            raise NonsenseError(url, "answers in a broken encoding") from error
        data = self._read(url, response, content)
        self.replicas.answered(url)
        return data

    async def _exchange(
        self, url: str, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[httpx.Response, bytes]:
        parts: list[bytes] = []
        size = 0
        async with self._clients[url].stream(method, url + path, json=body) as response:
            async for part in response.aiter_bytes():
                size += len(part)
                if size > LARGEST_BODY:
                    most = f"{LARGEST_BODY >> 20} MiB"
                    raise NonsenseError(url, f"answers with more than {most}")
                parts.append(part)
        return response, b"".join(parts)

    def _read(self, url: str, response: httpx.Response, content: bytes) -> dict[str, Any]:
        data, status = _parsed(content), response.status_code
        if status in _BUSY:
            if status >= httpx.codes.INTERNAL_SERVER_ERROR:
                self.replicas.failed(url)
            reason = f"is busy or broken (status {status}): {self._words(data, content)}"
            raise BusyError(url, status, reason, _seconds(response.headers.get("retry-after")))
        if not response.is_success:
            raise RefusedError(url, status, self._words(data, content))
        if not isinstance(data, dict):
            begun = self._shown(content[:200].decode("utf-8", "replace"))[:60]
            raise NonsenseError(url, f"answers with what is no JSON object: {begun!r}")
        if (error := error_of(data)) is not None:  # gateways do, with status 200
            raise NonsenseError(url, f"answers with an error: {self._words(error, content)}")
        return data

    def _without_secrets(self, reply: Reply) -> Reply:
        """`reply` without what is ours to hide, as a gateway may write it into a text."""
        choices = tuple(
            # What was said of its tokens would tell it again.
            replace(each, text=shown, tokens=None, logprobs=())
            if (shown := hiding(each.text, self._hidden_in_texts)) != each.text
            else each
            for each in reply.choices
        )
        model = None if reply.model is None else hiding(reply.model, self._hidden)
        return replace(reply, choices=choices, model=model)

    def _words(self, data: Any, content: bytes) -> str:
        """What an error reply says, on one line."""
        error = data.get("error", data) if isinstance(data, dict) else data
        if isinstance(error, dict):
            error = error.get("message") or error.get("detail") or error
        if isinstance(error, str):
            error = error[:10_000]
        return self._shown(str(error or content[:10_000].decode("utf-8", "replace")))

    def _shown(self, text: str) -> str:
        """Foreign words on one line, without what is ours to hide or a terminal would obey."""
        return plain(hiding(text, self._hidden))[:_SHOWN] or "no reason given"

    def _worth_another(self, error: BaseException) -> bool:
        """Whether another attempt may end otherwise.

        A server that was too slow for one request is as slow for the next, and
        may still be at work on the first.
        """
        if isinstance(error, SlowError):
            return bool(self.replicas.well())
        return isinstance(error, (UnreachableError, BusyError, NonsenseError))

    def _worth_another_attempt(self, error: BaseException) -> bool:
        return not _is_refusal(error) and self._worth_another(error)

    def _wait(self, state: RetryCallState) -> float:
        """Seconds before the next attempt: none when there is another replica to go to."""
        error = state.outcome.exception() if state.outcome else None
        well = self.replicas.well()
        if isinstance(error, ServerError) and error.url not in well and well:
            return 0.0
        after = error.after if isinstance(error, BusyError) else 0.0
        return max(min(after, LONGEST_WAIT), self._exponential(state))


def _is_refusal(error: BaseException) -> bool:
    """Whether a server says so, in whatever way, that it cannot do what it was asked."""
    if isinstance(error, RefusedError):
        return error.status not in {401, 403}
    broke = isinstance(error, BusyError) and error.status == httpx.codes.INTERNAL_SERVER_ERROR
    return broke or isinstance(error, NonsenseError)


def _seconds(header: str | None) -> float:
    """What `Retry-After` says in seconds; its other form, a date, is not read."""
    try:
        seconds = float(header or 0)
    except ValueError:
        return 0.0
    return 0.0 if math.isnan(seconds) else max(0.0, seconds)


def _parsed(content: bytes) -> Any:
    """The JSON of a reply, whatever its header says of it; None for what is none."""
    try:
        return json.loads(content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def _by_way_of(url: str) -> str:
    proxy = proxy_for(url)
    return f" through the proxy {named(proxy)}" if proxy else ""
