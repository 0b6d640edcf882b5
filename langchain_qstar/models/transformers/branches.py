"""How the keys and values of running branches are held: the part that architectures decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from langchain_qstar.models.transformers.forward import Chain, Fork, Output, Reading


class Branches(Protocol):
    """How the keys and values of branches are held: `TreeRows` or `ForkedRows`.

    `Any` is what the holder keeps of one segment.
    """

    @property
    def bytes(self) -> int:
        """Memory held for running branches."""
        ...

    def join(self, forks: Sequence[Fork[Any]]) -> None:
        """Start branches."""
        ...

    def advance(self, tokens: Sequence[int]) -> Output:
        """Read one token into every branch; logits and hidden states [branches, ...]."""
        ...

    def take(self, number: int) -> Any:
        """What is kept of the tokens read into a branch."""
        ...

    def keep(self, numbers: Sequence[int]) -> None:
        """Drop all branches but these."""
        ...

    def reset(self) -> None:
        """Drop all branches, and the memory they used."""
        ...

    def read(self, chains: Sequence[Chain[Any]], *, scored: bool) -> list[Reading]:
        """Read chains of segments, each below its path."""
        ...

    def split(self, kept: Any, count: int) -> tuple[Any, Any] | None:
        """See `kv_tree.Split`."""
        ...

    def size_of(self, kept: Any) -> int:
        """Bytes of a segment."""
        ...
