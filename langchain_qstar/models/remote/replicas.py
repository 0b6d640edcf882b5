"""Which of several equal servers is asked: the same one for the same question.

Rendezvous hashing (Thaler and Ravishankar, 1998): each question ranks the
servers by a hash of both. So what one server has cached of a question is asked
of it again, and when a server fails only its own questions move, evenly, to the
others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

REST_SECONDS: Final = 30.0
"""How long a server that failed is asked last."""


class Replicas:
    """Servers of one model, and which of them failed lately."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        rest: float = REST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with all of `urls` in good health.

        Args:
            urls: The servers.
            rest: Seconds for which one that failed is asked last.
            clock: What tells the seconds.
        """
        self.urls = tuple(urls)
        self._rest = rest
        self._clock = clock
        self._back: dict[str, float] = {}

    def best(self, key: str) -> str:
        """The server to ask about `key`; one that failed only when all did."""
        now = self._clock()
        return min(
            self.urls, key=lambda url: (max(0.0, self._back.get(url, 0.0) - now), -_rank(url, key))
        )

    def well(self) -> tuple[str, ...]:
        """Those that did not fail lately."""
        now = self._clock()
        return tuple(url for url in self.urls if self._back.get(url, 0.0) <= now)

    def failed(self, url: str) -> None:
        """Let a server rest."""
        self._back[url] = self._clock() + self._rest

    def answered(self, url: str) -> None:
        """Note that a server is well."""
        self._back.pop(url, None)


def _rank(url: str, key: str) -> int:
    return int.from_bytes(blake2b(f"{url}\n{key}".encode(), digest_size=8).digest())
