# ruff: noqa: SLF001 - contexts are put where an engine keeps what it read
"""Rows of a model of 0.5B in the engine, beside as many rows of its bare forward pass.

Every row has a context of its own, as with many questions at once. Contexts are not computed
one by one, which would take minutes: one of them is, or none, and the keys and values of the
others are copies. What a step costs does not depend on what they say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, Protocol

from langchain_qstar.models.engine.jobs import CallJob
from langchain_qstar.models.engine.policy import LocalPolicy
from langchain_qstar.models.engine.translation import PromptState
from langchain_qstar.protocols import SampleRequest, State

CONTEXT: Final = 300
"""Tokens before each row."""

TOKENS: Final = 6
"""Drawn for a row in one turn."""

FIRST: Final = 1000
"""Tokens are counted from here on: those before may be control tokens."""

KINDS: Final = 3000
"""Of tokens."""

Prompt = tuple[int, ...]


class Bare(Protocol):
    """Rows of a bare forward pass."""

    def seconds(self, steps: int) -> float:
        """CPU seconds a token of some more steps."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


class Rows:
    """Contexts that an engine holds as if it had read them, and rows after them."""

    def __init__(self, policy: LocalPolicy, hold: Callable[[Sequence[Prompt]], None]) -> None:
        """Run rows of `policy`, which nobody else uses.

        Args:
            policy: The model.
            hold: Puts prompts without their last token into the tree, on the engine's thread.
        """
        self._policy = policy
        self._hold = hold
        self._states: list[State] = []
        self._seed = 0
        self._draw([_state((FIRST, FIRST))], 1)  # the thread starts, tables are made

    def seconds(self, rows: int) -> float:
        """CPU seconds a token that the model reads, of one turn of so many rows.

        That is all of what an engine does: it reads the last token of each context, draws,
        reads what was drawn, and keeps it.
        """
        if len(self._states) < rows:
            prompts = [
                tuple(FIRST + (7 * number + 13 * at) % KINDS for at in range(CONTEXT))
                for number in range(1, rows + 1)
            ]
            self._policy._engine.submit(CallJob(lambda: self._hold(prompts))).result()
            self._states = [_state(prompt) for prompt in prompts]
        before, start = self._policy.counters.forwarded, time.process_time()
        self._draw(self._states[:rows], TOKENS)
        return (time.process_time() - start) / (self._policy.counters.forwarded - before)

    def _draw(self, states: Sequence[State], tokens: int) -> None:
        self._seed += 1
        self._policy.sample(
            [
                SampleRequest(state, (self._seed,), stop=(), max_tokens=tokens, temperature=0.8)
                for state in states
            ]
        )


def over_bare(rows: Rows, bare: Bare, count: int, turns: int) -> tuple[float, float]:
    """The engine's seconds over those of bare rows, and its tokens a second; medians of turns."""
    rows.seconds(count)
    bare.seconds(2)
    found = [(rows.seconds(count), bare.seconds(TOKENS)) for _ in range(turns)]
    bare.close()
    return median(ours / theirs for ours, theirs in found), 1 / median(ours for ours, _ in found)


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096


def _state(ids: Prompt) -> State:
    return PromptState("", prompt_ids=ids)


def placed(tree: Any, prompt: Prompt, segment: Any, size: int) -> None:
    """Give a prompt without its last token a state in the tree."""
    tree.store(tree.extend(prompt[:-1]), segment, size)
