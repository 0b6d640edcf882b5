"""What a scheduler asks of the library that computes a model: read, draw, advance.

A backend runs branches: continuations of tree nodes that grow by one token a
step. It keeps them in the order they joined. Everything is called from one
thread, and nothing here knows which library it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from langchain_qstar.models.engine.kv_tree import Node
from langchain_qstar.protocols import Likeliest

Floats = np.ndarray[Any, np.dtype[np.float32]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the tokens of one branch are drawn; see `SampleRequest`."""

    seed: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True, slots=True)
class Start:
    """Branches to start at the end of `leaf`, of at most `limit` tokens each."""

    leaf: Node
    samplings: Sequence[Sampling]
    limit: int


@dataclass(slots=True)
class Counters:
    """What the model of one engine has done so far, in tokens.

    `prefilled` tokens of prompts and given text were read, `reused` ones of
    sampled prompts were found in the tree instead. `generated` ones were drawn
    and kept (end tokens count). `forwarded` went through the model in all:
    what was read, and each drawn token that was read in its turn. `steps` are
    decode steps, `evicted` the segments that had to leave the tree.
    """

    prefilled: int = 0
    reused: int = 0
    generated: int = 0
    forwarded: int = 0
    steps: int = 0
    evicted: int = 0


class Backend(Protocol):
    """One loaded model that computes many branches at once.

    Any method may raise `MemoryError`. After one of `read` the branches are as
    they were; after any other they can only be reset.
    """

    vocabulary: int
    layers: tuple[int, ...]
    """Hidden layers recorded for the ends of nodes; none by default."""

    @property
    def crowded(self) -> bool:
        """Whether the tree must let more go than its budget asks for."""
        ...

    def prepare(self) -> None:
        """Called once, on the thread that will make all other calls."""
        ...

    def split(self, state: Any, count: int) -> tuple[Any, Any] | None:
        """See `kv_tree.Split`."""
        ...

    def can_start(self, state: Any) -> bool:
        """Whether branches can start after this state (its last logits are known)."""
        ...

    def next_logprobs(self, state: Any, tokens: Sequence[int]) -> list[float]:
        """Natural-log probabilities of some tokens to come after a state that can start."""
        ...

    def hidden(self, state: Any, layers: tuple[int, ...]) -> Floats | None:
        """The hidden states of `layers`, float32 [d], or None if others or none were recorded."""
        ...

    def read(
        self, chains: Sequence[Sequence[Node]], *, scored: bool
    ) -> list[list[tuple[Any, int]]]:
        """Read chains of nodes, each below a path that was read, as one batch.

        Args:
            chains: Each node of a chain is the parent of the next.
            scored: Also fill in `logprobs` of the nodes.

        Returns:
            State and size in bytes of every node. A node that has its state already
            gets the same one where its last token alone was read again.
        """
        ...

    def join(self, starts: Sequence[Start]) -> None:
        """Start branches, all of them at once."""
        ...

    def draw(self, allowed: Mapping[int, Bools]) -> tuple[list[int], list[float]]:
        """The next token of every branch and its log-probability under the untempered model.

        Args:
            allowed: For the branches with a grammar, by number, which tokens may
                be drawn: bool [vocabulary]. The log-probability stays that of
                the model without the grammar.
        """
        ...

    def likeliest(self, counts: Mapping[int, int]) -> dict[int, Likeliest]:
        """The most probable tokens to come next, the most probable first.

        Args:
            counts: How many of them, for each branch asked about, by number.

        Returns:
            For each of these branches (token, log-probability), under the untempered
            model without a grammar.
        """
        ...

    def advance(self, tokens: Sequence[int]) -> None:
        """Read one token into every branch."""
        ...

    def take(self, number: int) -> tuple[Any, int]:
        """State and size of the node that branch `number` is, with all tokens read into it."""
        ...

    def keep(self, numbers: Sequence[int]) -> None:
        """Drop all branches but these, which stay in order."""
        ...

    def reset(self) -> None:
        """Drop all branches and the memory they used."""
        ...
