"""An engine whose model writes what a script says, as far as the grammar lets it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from langchain_qstar.models.engine.policy import LocalPolicy
from langchain_qstar.models.engine.translation import Limits
from langchain_qstar.models.faces.settings import local_policy


class FollowingBackend:
    """Gives every prompt the reply of a script; the rest of the engine is the real one.

    A branch is the tokens it has yet to write. One that the grammar forbids is put off,
    and the first allowed token drawn instead.
    """

    def __init__(self, tokenizer: Any, reply: Callable[[str], str]) -> None:
        self.vocabulary = len(tokenizer)
        self.layers: tuple[int, ...] = ()
        self.crowded = False
        self.prompts: list[str] = []
        self.widths: list[int] = []
        self.may_begin: Callable[[], bool] = lambda: True
        self._tokenizer, self._reply = tokenizer, reply
        self._rest: list[list[int]] = []

    def prepare(self):
        pass

    def split(self, state, count):
        return state, state

    def can_start(self, state):
        return state is not None

    def next_logprobs(self, state, tokens):
        return [-1.0] * len(tokens)

    def hidden(self, state, layers):
        return None

    def read(self, chains, *, scored):
        give_up = time.monotonic() + 20
        while not self.may_begin() and time.monotonic() < give_up:
            time.sleep(0.001)
        return [[(True, 1) for _ in chain] for chain in chains]

    def join(self, starts):
        for start in starts:
            prompt = self._tokenizer.decode(start.leaf.ids())
            self.prompts.append(prompt)
            ids = self._tokenizer.encode(self._reply(prompt), add_special_tokens=False)
            self._rest += [[*ids, self._tokenizer.eos_token_id] for _ in start.samplings]

    def draw(self, allowed):
        self.widths.append(len(self._rest))
        tokens = []
        for number, rest in enumerate(self._rest):
            free = number not in allowed or allowed[number][rest[0]]
            tokens.append(rest[0] if free else int(np.flatnonzero(allowed[number])[0]))
        return tokens, [-0.25] * len(tokens)

    def likeliest(self, counts):
        return {
            number: tuple((self._rest[number][0] + at, -0.25 - at) for at in range(count))
            for number, count in counts.items()
        }

    def advance(self, tokens):
        for rest, token in zip(self._rest, tokens, strict=True):
            if rest[0] == token:
                rest.pop(0)

    def take(self, number):
        return True, 1

    def keep(self, numbers):
        self._rest = [self._rest[number] for number in numbers]

    def reset(self):
        self._rest = []


@pytest.fixture
def scripted():
    """Makes a policy that replies as a script says, with tokenizer and template of another."""
    made = []

    def make(reply: Callable[[str], str] | str, like: Any = "nano", **limits: Any) -> LocalPolicy:
        codec = getattr(like, "codec", None) or like
        if isinstance(like, str):
            codec = local_policy(like).codec
        told = (lambda _: reply) if isinstance(reply, str) else reply
        backend = FollowingBackend(codec.tokenizer, told)
        ends = [codec.tokenizer.eos_token_id]
        given = Limits(**{"window": 4096, "depth": 1} | limits)
        made.append(LocalPolicy(backend, codec, ends, given, name="scripted"))
        return made[-1]

    yield make
    for policy in made:
        policy.close()
