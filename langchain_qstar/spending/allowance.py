"""What a node may still spend, and what it has spent: one for each time that a node runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Reason = Literal["tokens", "completions", "seconds", "nodes"]
"""Which budget it was."""

REASONS: Final[tuple[Reason, ...]] = ("tokens", "completions", "seconds", "nodes")

CUT: Final = "cut_"
"""With a reason the count of a search's usage that says how often that budget cut something."""

UNHEARD: Final = "unheard"
"""The count of the replies that were given up, at a cost that nobody told."""


@dataclass(slots=True)
class Allowance:
    """What the calls of one node may spend together; None is no limit.

    Attributes:
        tokens: Tokens that may be generated, thoughts included.
        completions: Completions that may be drawn.
        deadline: When the time is over, on the clock of `now`.
        drawn_tokens: Tokens that were generated so far.
        drawn: Completions that were drawn so far.
        unheard: Replies that were given up; what they cost is not known.
        cuts: The budgets that cut something short, in the order in which they did.
        ending: Calls under way of models that end by themselves when the time is over, and
            tell what it cost; they are waited for.
    """

    tokens: int | None = None
    completions: int | None = None
    deadline: float | None = None
    drawn_tokens: int = 0
    drawn: int = 0
    unheard: int = 0
    cuts: dict[Reason, None] = field(default_factory=dict)
    ending: int = 0

    @property
    def tokens_left(self) -> int | None:
        """Tokens that may still be generated, at least 0; None is no limit."""
        return None if self.tokens is None else max(0, self.tokens - self.drawn_tokens)

    @property
    def completions_left(self) -> int | None:
        """Completions that may still be drawn, at least 0; None is no limit."""
        return None if self.completions is None else max(0, self.completions - self.drawn)

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self.deadline is not None and now() >= self.deadline

    @property
    def gives_up(self) -> bool:
        """Whether what is waited for is given up: the time is over, and it does not end itself."""
        return self.is_over and not self.ending

    @contextmanager
    def ends_itself(self) -> Iterator[None]:
        """While a model is asked that ends by itself when the time is over."""
        self.ending += 1
        try:
            yield
        finally:
            self.ending -= 1

    @property
    def cut(self) -> Reason | None:
        """The budget that cut something short, the last of several; None where none did."""
        return next(reversed(self.cuts), None)

    def spend(self, completions: int, tokens: int) -> None:
        """Count what was drawn."""
        self.drawn += completions
        self.drawn_tokens += tokens

    def cut_by(self, reason: Reason) -> None:
        """Note that a budget cut something short."""
        self.cuts.pop(reason, None)
        self.cuts[reason] = None

    def counted(self, usage: Mapping[str, float]) -> dict[str, float]:
        """What a node says that it spent, with what it does not know of.

        Those are samples of a scorer that was given up, and what was cut.
        """
        known = {"completions": self.drawn, "completion_tokens": self.drawn_tokens}
        told = {each: max(usage.get(each, 0), count) for each, count in known.items() if count}
        cuts: dict[str, float] = {f"{CUT}{reason}": 1 for reason in self.cuts}
        unheard = {UNHEARD: self.unheard} if self.unheard else {}
        return {**usage, **told, **cuts, **unheard}


def allowance_of(
    budgets: Mapping[str, Any], usage: Mapping[str, float], since: float | None = None
) -> Allowance | None:
    """What is left of budgets.

    Args:
        budgets: By their names in the settings; one that is missing or None is no limit.
        usage: What was spent.
        since: When the seconds that are not in `usage` began; None is now.

    Returns:
        None where nothing is limited.
    """
    tokens, completions = budgets.get("max_tokens"), budgets.get("max_completions")
    seconds = budgets.get("max_seconds")
    if tokens is completions is seconds is None:
        return None
    began = now() if since is None else since
    return Allowance(
        tokens=None if tokens is None else _left(tokens, usage, "completion_tokens"),
        completions=None if completions is None else _left(completions, usage, "completions"),
        deadline=None if seconds is None else began + seconds - usage.get("seconds", 0.0),
    )


def _left(most: float, usage: Mapping[str, float], count: str) -> int:
    return max(0, int(most - usage.get(count, 0)))


def cut_of(usage: Mapping[str, float]) -> Reason | None:
    """The budget that cut something short of what this usage counts, None where none did."""
    return next((each for each in REASONS if usage.get(f"{CUT}{each}", 0) > 0), None)


_current: ContextVar[Allowance | None] = ContextVar("allowance", default=None)


@contextmanager
def held_to(allowance: Allowance | None) -> Iterator[None]:
    """Hold all that is sampled in this context to `allowance`; to nothing where it is None."""
    token = _current.set(allowance)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Allowance | None:
    """What holds here."""
    return _current.get()


def deadline() -> float | None:
    """When the time is over for whoever asks, None for never."""
    allowance = current()
    return None if allowance is None else allowance.deadline


def cutting() -> str | None:
    """The setting whose budget cut something short of what the node that asks drew, if any."""
    allowance = current()
    return None if allowance is None or allowance.cut is None else f"max_{allowance.cut}"


def without_cuts(usage: Mapping[str, float]) -> dict[str, float]:
    """What to add to counts so that they tell of no cut."""
    return {key: -count for key, count in usage.items() if key.startswith(CUT) and count}


clock: Callable[[], float] = time.monotonic
"""Of all budgets of time, so that a test can have its own."""


def now() -> float:
    """The seconds on the clock."""
    return clock()
