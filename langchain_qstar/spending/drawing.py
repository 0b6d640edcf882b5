"""Sampling within what may be spent: in rounds, of which each row gets its share.

With `T` tokens left for `R` rows of at most `L` tokens, a round gives every row `min(L, T / R)`.
What rows that end early leave over is shared by those that were cut, in a further round, where
the policy can go on with them exactly; and by rows for which there was too little before. That
is so until all have ended or nothing is left. What each row gets depends on what the rows say
and on nothing else, neither on time nor on what other searches do; and where `T` is at least
`R * L`, all rows are one round as without a budget.

A row is not begun with less than a quarter of its limit (`_least`), but for the first: many
rows of a few tokens each would all be cut, where a few that have room end.

A row that is cut at last has the finish `cancelled`, and so has one whose time is over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from langchain_qstar.driving import adrive, drive
from langchain_qstar.protocols import (
    Completion,
    GoesOn,
    KeepsTime,
    Policy,
    SampleRequest,
    Step,
    TextEnd,
)
from langchain_qstar.seeds import sample_seed
from langchain_qstar.spending.allowance import Allowance, current
from langchain_qstar.spending.in_time import OutOfTimeError, ain_time, in_time

LEAST_TOKENS: Final = 32
"""Tokens with which a row is begun at least, unless it may not have as many."""

Place = tuple[int, int]
"""Number of a request, and number of the sample in it."""

Groups = list[list[Completion]]


@dataclass(frozen=True, slots=True)
class Round:
    """What is asked together.

    Attributes:
        requests: What the policy is asked.
        places: For each seed of each request, which sample of the caller's it belongs to.
        goes_on: For each request, whether it asks for the rest of one that was cut.
    """

    requests: list[SampleRequest]
    places: list[list[Place]]
    goes_on: list[bool]


Ask = Callable[[Round], Groups]
AskLater = Callable[[Round], Awaitable[Groups]]
Rounds = Generator[Round, Groups | None, Groups]
"""Yields rounds and is sent their completions, None where the time was over before there were
any; returns those of the requests."""


def draw(policy: Policy, requests: Sequence[SampleRequest], ask: Ask | None = None) -> Groups:
    """What `policy` samples within what may be spent here.

    Args:
        policy: Who is asked.
        requests: For what.
        ask: How a round is asked for; None is by `policy.sample`.

    Returns:
        For each request the completions of its first seeds: of all, unless a budget is spent.
    """
    asks = ask or (lambda each: policy.sample(each.requests))
    allowance = current()
    if allowance is None:
        return asks(_whole(requests))

    def asked(one: Round) -> Groups | None:
        if _keeps_time(policy):
            with allowance.ends_itself():
                return asks(one)
        try:
            return in_time(partial(asks, one))
        except OutOfTimeError:
            return None

    return drive(_Drawing(policy, requests, allowance).rounds(), asked)


async def adraw(
    policy: Policy, requests: Sequence[SampleRequest], ask: AskLater | None = None
) -> Groups:
    """As `draw`, without blocking the event loop."""
    asks = ask or (lambda each: policy.asample(each.requests))
    allowance = current()
    if allowance is None:
        return await asks(_whole(requests))

    async def asked(one: Round) -> Groups | None:
        if _keeps_time(policy):
            with allowance.ends_itself():
                return await asks(one)
        try:
            return await ain_time(partial(asks, one))
        except OutOfTimeError:
            return None

    return await adrive(_Drawing(policy, requests, allowance).rounds(), asked)


def _whole(requests: Sequence[SampleRequest]) -> Round:
    """All that is asked for, as one round."""
    places = [
        [(number, each) for each in range(len(one.seeds))] for number, one in enumerate(requests)
    ]
    return Round(list(requests), places, [False] * len(places))


def _keeps_time(policy: Policy) -> bool:
    return isinstance(policy, KeepsTime) and policy.keeps_time


class _Drawing:
    """The samples of some requests under way."""

    def __init__(
        self, policy: Policy, requests: Sequence[SampleRequest], allowance: Allowance
    ) -> None:
        self._requests = requests
        self._allowance = allowance
        self._goes_on = isinstance(policy, GoesOn) and policy.goes_on
        self._found: dict[Place, Completion] = {}
        self._fresh = [place for places in _whole(requests).places for place in places]
        self._cut: list[Place] = []
        """Rows that a round cut and that can be gone on with, in order."""

    def rounds(self) -> Rounds:
        allowance = self._allowance
        left = allowance.completions_left
        if left is not None and left < len(self._fresh):
            del self._fresh[left:]
            allowance.cut_by("completions")
        while self._fresh or self._cut:
            if allowance.is_over:
                allowance.cut_by("seconds")
                break
            tokens = allowance.tokens_left
            if tokens == 0:
                allowance.cut_by("tokens")
                break
            places, cap = self._next(tokens)
            drawn = yield (one := self._round(places, cap))
            if drawn is None:
                self._give_up(places)
                break
            if not _fits(drawn, one):
                return drawn  # whoever asked says what is wrong with it
            self._take(one, drawn, cap)
        for place in self._cut:
            self._found[place] = replace(self._found[place], finish="cancelled")
        return self._groups()

    def _next(self, tokens: int | None) -> tuple[list[Place], int | None]:
        """The rows of the next round, and how many tokens each may have."""
        waiting = [*self._cut, *self._fresh]
        if tokens is None:
            return waiting, None
        count, needed = 0, 0
        for place in waiting:
            needed += self._least(place)
            if count and needed > tokens:
                break
            count += 1
        return waiting[:count], tokens // count

    def _least(self, place: Place) -> int:
        request = self._requests[place[0]]
        begun = self._found.get(place)
        limit = request.max_tokens - (0 if begun is None else begun.generated)
        return max(1, min(limit, max(LEAST_TOKENS, request.max_tokens // 4)))

    def _round(self, places: Sequence[Place], cap: int | None) -> Round:
        """The requests that ask for these rows: fresh ones of a request as one."""
        one = Round([], [], [])
        fresh: dict[int, list[Place]] = {}
        for place in places:
            if place in self._found:
                begun = _rest_of(self._requests[place[0]], place[1], self._found[place])
                one.requests.append(_within(begun, cap))
                one.places.append([place])
                one.goes_on.append(True)
            else:
                fresh.setdefault(place[0], []).append(place)
        for number, mine in fresh.items():
            request = self._requests[number]
            if len(mine) < len(request.seeds):
                request = replace(request, seeds=tuple(request.seeds[each] for _, each in mine))
            one.requests.append(_within(request, cap))
            one.places.append(mine)
            one.goes_on.append(False)
        return one

    def _take(self, one: Round, drawn: Groups, cap: int | None) -> None:
        """Put what a round drew where it belongs, and see what was cut."""
        asked = {place for places in one.places for place in places}
        goes_on = [each for each in self._cut if each not in asked]
        self._fresh = [each for each in self._fresh if each not in asked]
        for places, completions in zip(one.places, drawn, strict=True):
            for place, completion in zip(places, completions, strict=False):
                begun = self._found.get(place)
                self._allowance.spend(int(begun is None), completion.generated)
                request = self._requests[place[0]]
                if completion.finish == "cancelled" and self._allowance.is_over:
                    self._allowance.cut_by("seconds")
                cut = self._was_cut(request, begun, completion, cap)
                whole = completion if begun is None else _joined(request, begun, completion)
                self._found[place] = whole
                if cut and self._goes_on and _can_go_on(request, whole):
                    goes_on.append(place)
                elif cut:
                    self._allowance.cut_by("tokens")
                    self._found[place] = replace(whole, finish="cancelled")
        self._cut = sorted(goes_on)

    def _was_cut(
        self, request: SampleRequest, begun: Completion | None, drawn: Completion, cap: int | None
    ) -> bool:
        """Whether a row ended because it had no more tokens, and not at its own limit."""
        if cap is None or drawn.finish != "length":
            return False
        said = drawn.generated - drawn.thought_tokens + (0 if begun is None else begun.generated)
        if said >= request.max_tokens:
            return False
        # Of a server the count is its own; that it was given less than the limit must do.
        return drawn.generated >= cap or (not self._goes_on and cap < request.max_tokens)

    def _give_up(self, places: Sequence[Place]) -> None:
        """The time was over before there was a reply: what it came to is not known."""
        self._allowance.unheard += len(places)
        self._allowance.cut_by("seconds")
        for place in places:
            begun = self._found.get(place, Completion(""))
            self._found[place] = replace(begun, finish="cancelled")

    def _groups(self) -> Groups:
        places = _whole(self._requests).places
        return [[self._found[place] for place in mine if place in self._found] for mine in places]


def _fits(drawn: Any, one: Round) -> bool:
    """Whether there is one list of completions for each request."""
    return (
        isinstance(drawn, Sequence)
        and len(drawn) == len(one.requests)
        and all(isinstance(each, Sequence) for each in drawn)
    )


def _within(request: SampleRequest, cap: int | None) -> SampleRequest:
    if cap is None:
        return request
    return replace(request, budget=cap, max_tokens=min(request.max_tokens, cap))


def _can_go_on(request: SampleRequest, completion: Completion) -> bool:
    """Whether the ids of a completion are all that the model has read of it.

    A thought that is kept apart is not among them, and the place in a grammar not told.
    """
    broken = completion.text.endswith("\N{REPLACEMENT CHARACTER}")
    known = completion.token_ids is not None and not completion.thought_tokens
    return known and not broken and request.grammar is None


def _rest_of(request: SampleRequest, number: int, begun: Completion) -> SampleRequest:
    """What asks for the rest of a completion that was cut."""
    step = Step(begun.text, token_ids=begun.token_ids, logprobs=begun.logprobs)
    said = begun.text[len(request.prefill) :]
    return replace(
        request,
        state=request.state.then(step),
        seeds=(sample_seed(request.seeds[number], "the rest", begun.generated),),
        max_tokens=request.max_tokens - begun.generated,
        prefill="",
        ends=None if request.ends is None else _EndAfter(request.ends, said),
    )


class _EndAfter:
    """Where a text ends of which the beginning is there."""

    def __init__(self, ends: TextEnd, before: str) -> None:
        self._ends, self._before = ends, before
        self.whole = bool(getattr(ends, "whole", False))

    def __call__(self, text: str) -> int:
        return max(0, self._ends(self._before + text) - len(self._before))


def _joined(request: SampleRequest, begun: Completion, rest: Completion) -> Completion:
    """Both as one completion."""
    assert begun.token_ids is not None
    text = begun.text + rest.text
    ids = None if rest.token_ids is None else begun.token_ids + rest.token_ids
    known = len(begun.logprobs) == len(begun.token_ids)
    whole = replace(
        rest,
        text=text,
        token_ids=ids,
        logprobs=begun.logprobs + rest.logprobs if known else (),
        generated=begun.generated + rest.generated,
        prompt_tokens=begun.prompt_tokens,
        reused_tokens=begun.reused_tokens,
        likeliest=begun.likeliest + rest.likeliest,
    )
    end = request.end_in(text)
    if 0 < end < len(text):  # a stop string that began before the cut
        ended = replace(whole, text=text[:end], finish="stop")
        return replace(ended, token_ids=None, logprobs=(), likeliest=())
    return whole
