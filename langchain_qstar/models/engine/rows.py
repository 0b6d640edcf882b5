"""One completion in the making, and the rules of where it ends.

- A stop string is kept as the end of the text. When it ends inside a token,
  the text is cut there; that token is left out of the ids and the part of it
  before the cut is tokenised alone, so ids and text always agree.
- An end-of-sequence token is in neither text nor ids, but it counts.
- A thought, from `<think>` at the start to `</think>` and blank steps after it,
  is in neither text nor ids; its tokens count, and are told apart. Stop strings
  mean nothing in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from langchain_qstar.models.engine.backend import Bools, Sampling
from langchain_qstar.models.engine.grammars import Grammar, Matcher
from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.protocols import Finish, Likeliest, TextEnd
from langchain_qstar.stepping.thinking import CLOSING, OPENING

_SPELLED = 16
"""Most tokens that spell a tag, with blanks and what else its last token holds."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A token of a row that goes on: number `index` after `thought` tokens of thought."""

    thought: int
    index: int
    token: int
    logprob: float
    likeliest: Likeliest = ()


@dataclass(eq=False, slots=True)
class Row:
    """One completion; the fields from `ids` on are results.

    `context` are the ids read before it; `opened` says that they leave a thought
    open, `aloud` that thoughts are text like any other. `ends` ends the text beside the
    stop strings. `grammar` holds for what comes after a thought. `listener` is called on
    the engine's thread with every token outside a thought but the last, `finished`
    with the text once it has ended; both must return at once. A row that has to start
    again tells the same again.
    `left` tokens may still be drawn, and `limit` is what that is set to when a
    thought ends; both together are never more than `budget`. `cut` holds ids of a
    token that the end of the step cut. `feed` are tokens that are yet to be read
    before the row leaves, None while tokens are drawn. `whole` says that the tokens
    read make up the step, so that its node can be stored. `likeliest` holds the
    `alternatives` most probable tokens at the place of each of `ids`, nothing if
    there are to be none.
    """

    context: tuple[int, ...]
    stop: tuple[str, ...]
    sampling: Sampling
    limit: int
    thought_limit: int
    opened: bool = False
    thinking: bool = False
    grammar: Grammar | None = None
    budget: int | None = None
    alternatives: int = 0
    ends: TextEnd | None = None
    aloud: bool = False
    listener: Callable[[Drawn], None] | None = None
    finished: Callable[[str], None] | None = None
    matcher: Matcher | None = None
    left: int = 0
    ids: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    likeliest: list[Likeliest] = field(default_factory=list)
    text: str = ""
    finish: Finish = "length"
    generated: int = 0
    thought: int = 0
    feed: list[int] | None = None
    whole: bool = True

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget all that was drawn; the same seed will draw it again."""
        self.ids, self.cut, self.logprobs, self.likeliest = [], [], [], []
        self.text, self.finish = "", "length"
        self.generated = self.thought = 0
        self.feed, self.whole, self.thinking = None, not self.opened, self.opened
        self.left = self.within(self.thought_limit if self.opened else self.limit)
        self.matcher = None if self.grammar is None else self.grammar.matcher()

    def within(self, limit: int) -> int:
        """As many of `limit` more tokens as the budget leaves."""
        return limit if self.budget is None else min(limit, self.budget - self.generated)

    @property
    def marks(self) -> tuple[str, ...]:
        """What may end the text; `ends` is asked at every end of a line."""
        return self.stop if self.ends is None else (*self.stop, "\n")

    @property
    def constrained(self) -> bool:
        """Whether a grammar decides about the next token."""
        return self.matcher is not None and not self.thinking and self.feed is None

    @property
    def wanted(self) -> int:
        """How many of the most probable tokens are to be told at the next place."""
        return 0 if self.thinking or self.feed is not None else self.alternatives

    def allowed(self) -> Bools:
        """The tokens that may come next in a constrained row: bool [vocabulary]."""
        assert self.matcher is not None
        return self.matcher.allowed()

    def tell(self) -> None:
        """Tell the listener of the latest token if the row goes on after it, else of the end."""
        if self.feed is not None:
            if self.finished is not None:
                self.finished(self.text)
        elif self.listener is not None and self.ids and not self.thinking:
            likeliest = self.likeliest[-1] if self.alternatives else ()
            place = len(self.ids) - 1
            self.listener(Drawn(self.thought, place, self.ids[-1], self.logprobs[-1], likeliest))

    def took(self, token: int, logprob: float, likeliest: Likeliest = ()) -> None:
        """Add a drawn token."""
        if self.matcher is not None and not self.thinking:
            self.matcher.take(token)
        self.ids.append(token)
        self.logprobs.append(logprob)
        if self.alternatives:
            self.likeliest.append(likeliest)
        self.generated += 1
        self.left -= 1

    @property
    def node_tokens(self) -> tuple[int, ...]:
        """The ids of the step, as the next path will hold them."""
        return (*self.ids, *self.cut)

    def end(self, finish: Finish, feed: list[int]) -> None:
        """Draw no more; read `feed`, then leave."""
        self.finish, self.feed = finish, feed if self.whole else []


class Endings:
    """Tells for every drawn token whether it ends its row."""

    def __init__(self, codec: TextCodec, eos: Sequence[int], vocabulary: int) -> None:
        """Bind the tokenizer, the end tokens, and the size of the model's output."""
        self._codec = codec
        self._vocabulary = vocabulary
        self._is_eos = np.zeros(vocabulary, dtype=bool)
        self._is_eos[[token for token in eos if token < vocabulary]] = True
        self._opening, self._closing = codec.think_tags or (-1, -1)
        self._kinds: dict[tuple[str, ...], int] = {}
        self._tables = np.zeros((0, vocabulary), dtype=bool)

    def kind(self, stop: tuple[str, ...]) -> int:
        """The number of a set of stop strings, for `notable`."""
        known = self._kinds.get(stop)
        if known is None:
            known = self._kinds[stop] = len(self._kinds)
            spelled = (">",) if self._opening < 0 else ()
            table = self._codec.may_complete((*stop, *spelled), self._vocabulary) | self._is_eos
            if self._opening >= 0:
                table[[self._opening, self._closing]] = True
            self._tables = np.concatenate([self._tables, table[None]])
        return known

    def notable(self, kinds: np.ndarray[Any, Any], tokens: Sequence[int]) -> list[bool]:
        """Which rows `look` must see: all others go on for sure, unless they are full."""
        flags: list[bool] = self._tables[kinds, tokens].tolist()
        return flags

    def look(self, row: Row) -> None:
        """End `row` if its latest token ends it."""
        token = row.ids[-1]
        if self._is_eos[token]:
            row.ids.pop()
            row.logprobs.pop()
            row.likeliest = row.likeliest[: len(row.ids)]
            self._end_text(row, "eos", [])
        elif not row.aloud and (row.thinking or self._begins_thought(row)):
            self._think(row)
        elif row.thought and row.left > 0 and self._is_blank(row.ids):
            _put_aside(row)
        elif (cut := self._cut(row)) is not None:
            self._stop(row, *cut)
        elif row.left <= 0:
            self._end_text(row, "length", [token])

    def give_up(self, row: Row) -> None:
        """End `row` in the middle, with what it has."""
        row.whole = False
        self._end_text(row, "cancelled", [])

    def _cut(self, row: Row) -> tuple[str, list[int], list[int]] | None:
        return self._codec.cut_at_stop(row.ids, row.stop, row.context, row.ends)

    def _is_blank(self, ids: list[int]) -> bool:
        return not self._codec.decode(ids).strip()

    def _begins_thought(self, row: Row) -> bool:
        """Whether the row is nothing but the opening of a thought, as one token or spelled."""
        if self._opening >= 0:
            return row.ids[-1] == self._opening and self._is_blank(row.ids[:-1])
        if row.thought or len(row.ids) > _SPELLED:
            return False
        return self._codec.decode(row.ids).lstrip().startswith(OPENING)

    def _closes_thought(self, row: Row) -> bool:
        if self._closing >= 0:
            return row.ids[-1] == self._closing
        return CLOSING in self._codec.decode(row.ids[-_SPELLED:])

    def _think(self, row: Row) -> None:
        if self._closes_thought(row):
            row.thinking, row.left = False, row.within(row.limit)
            self._leave(row)
        elif not row.thinking:
            row.thinking, row.whole = True, False
            row.left = row.within(row.thought_limit)
            _put_aside(row)
        if row.left <= 0:
            self._end_text(row, "length", [])

    def _leave(self, row: Row) -> None:
        """Count the thought, but for what the token that closes it says after it."""
        rest, logprob = "", row.logprobs[-1]
        if self._closing < 0 and row.matcher is None:
            rest = self._codec.decode(row.ids[-_SPELLED:]).rpartition(CLOSING)[2].lstrip()
        _put_aside(row)
        if ids := list(self._codec.encode(rest)):
            row.ids, row.logprobs = ids, [logprob, *([0.0] * (len(ids) - 1))]
            row.likeliest = [()] * len(ids) if row.alternatives else []

    def _end_text(self, row: Row, finish: Finish, feed: list[int]) -> None:
        if row.thinking:
            _put_aside(row)
        row.text = self._codec.decode(row.ids, row.context)
        row.end(finish, feed)

    def _stop(self, row: Row, text: str, ids: list[int], cut: list[int]) -> None:
        drawn = row.ids
        row.text, row.ids, row.cut = text, ids, cut
        inside = len(drawn) - len(ids)
        if inside > 1:  # several tokens make up one character: what was read is too much
            row.whole = False
        row.likeliest = [*row.likeliest[: len(ids)], *([()] * len(cut) if row.alternatives else ())]
        if cut:
            # The first id carries what was drawn, so the sum stays the
            # log-probability of the tokens the model really produced.
            over = sum(row.logprobs[len(ids) :])
            row.logprobs = [*row.logprobs[: len(ids)], over, *([0.0] * (len(cut) - 1))]
        else:
            row.logprobs = row.logprobs[: len(ids)]
        row.end("stop", list(cut) if inside else drawn[-1:])


def _put_aside(row: Row) -> None:
    """Count what was drawn so far as thought."""
    row.thought += len(row.ids)
    row.ids, row.logprobs, row.likeliest = [], [], []
