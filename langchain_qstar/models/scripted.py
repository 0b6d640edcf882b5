"""A policy and a scorer that follow a script: for tests, examples and documents.

They behave like models in every way a search can see: `ScriptedPolicy` draws
from what the script offers at a state, ends at stop strings and where the request
says that a text ends, counts tokens and gives the same samples for the same request;
`ScriptedScorer` looks values up. Both record what they were asked. They read no file
and need no extra.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from zlib import crc32

from langchain_qstar.protocols import (
    Completion,
    Finish,
    SampleRequest,
    ScoreRequest,
    Scores,
    State,
    Step,
)

Script = Mapping[str, Sequence[str]] | Callable[[str], Sequence[str]]
"""Trajectory text so far -> the continuations the policy may give there."""

_TOKEN: Final = re.compile(r"\S+\s*|\s+")


class ScriptedPolicy:
    r"""A policy that continues a trajectory as its script says.

    At each state the first sample takes the first continuation, the second the
    second, and so on, from the start again when there are more samples than
    continuations. A state the script does not know gets the empty text, as from
    a model that has nothing to say. A word with the white space after it is
    one token.

    >>> policy = ScriptedPolicy({"": ["2*3=6\n", "2+3=5\n"]})
    >>> request = SampleRequest(State("What is 2 times 3?"), seeds=(1, 2, 3))
    >>> [completion.text for completion in policy.sample([request])[0]]
    ['2*3=6\n', '2+3=5\n', '2*3=6\n']

    Args:
        script: Trajectory text -> continuations, as a mapping or a callable. A
            continuation need not end where a step ends: a request without a
            stop string is answered by following the script to its end.
        by_seed: Choose a continuation by the seed of the sample instead of by
            its number, as baselines need, which draw one sample a request.
        window: Context length in tokens, None for no limit.
        name: What reports call it.
        logprob: Log-probability given to every token; None leaves it unknown.
    """

    def __init__(
        self,
        script: Script,
        *,
        by_seed: bool = False,
        window: int | None = None,
        name: str = "scripted",
        logprob: float | None = None,
    ) -> None:
        self._script: Callable[[str], Sequence[str]] = (
            script if callable(script) else lambda text: script.get(text, ())
        )
        self._by_seed = by_seed
        self._window = window
        self._name = name
        self._logprob = logprob
        self.calls: list[tuple[SampleRequest, ...]] = []
        """Every batch of requests so far, in order."""

    @property
    def name(self) -> str:
        """What reports call it."""
        return self._name

    @property
    def window(self) -> int | None:
        """Context length in tokens, or None."""
        return self._window

    @property
    def shows_thoughts(self) -> bool:
        """The script says what is thought."""
        return True

    @property
    def gives_logprobs(self) -> bool:
        """Whether the script gives one."""
        return self._logprob is not None

    def count_tokens(self, text: str) -> int:
        """Number of words."""
        return len(_TOKEN.findall(text))

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """One completion per seed, for every request."""
        self.calls.append(tuple(requests))
        return [
            [self._complete(request, number) for number in range(len(request.seeds))]
            for request in requests
        ]

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """As `sample`."""
        return self.sample(requests)

    def _complete(self, request: SampleRequest, number: int) -> Completion:
        start = request.state.text + request.prefill
        greedy = request.temperature == 0
        pick = 0 if greedy else request.seeds[number] if self._by_seed else number
        text, finish = self._follow(start, pick, request)
        tokens = _TOKEN.findall(text)
        read = sum(self.count_tokens(content) for _, content in request.state.messages)
        return Completion(
            text=request.prefill + text,
            token_ids=tuple(crc32(token.encode(errors="replace")) for token in tokens),
            logprobs=() if self._logprob is None else (self._logprob,) * len(tokens),
            finish=finish,
            generated=len(tokens) + (finish == "eos"),
            prompt_tokens=read + self.count_tokens(start),
        )

    def _follow(self, start: str, pick: int, request: SampleRequest) -> tuple[str, Finish]:
        text = ""
        budget = request.budget
        limit = request.max_tokens if budget is None else min(request.max_tokens, budget)
        while options := self._script(start + text):
            piece = options[pick % len(options)]
            text += piece
            end = _first_end(text, request)
            tokens = _TOKEN.findall(text[:end] if end else text)
            if len(tokens) > limit:
                return "".join(tokens[:limit]), "length"
            if end:
                return text[:end], "stop"
            if not piece:
                break
        # What ends a text is a token too.
        return text, "eos" if self.count_tokens(text) < limit else "length"


def _first_end(text: str, request: SampleRequest) -> int:
    """Where the first stop string, or what the request says is the end, ends; 0 for nowhere."""
    ends = [text.index(mark) + len(mark) for mark in request.stop if mark in text]
    if request.ends is not None and (end := request.ends(text)):
        ends.append(end)
    return min(ends, default=0)


class ScriptedScorer:
    r"""A Q-value model or process reward model that looks values up.

    >>> scorer = ScriptedScorer({"2*3=6": 0.9})
    >>> request = ScoreRequest(State("?"), (Step("2*3=6\n"), Step("2+3=5\n")))
    >>> scorer.score([request])[0].values
    (0.9, 0.0)

    Args:
        values: A mapping whose keys are trajectory texts (the step included) or
            step texts, with or without the white space around them; or a
            callable of the trajectory text.
        default: The value of a step that the mapping does not know.
        name: What reports call it.
    """

    def __init__(
        self,
        values: Mapping[str, float] | Callable[[str], float],
        *,
        default: float = 0.0,
        name: str = "scripted",
    ) -> None:
        self._values = values
        self._default = default
        self._name = name
        self.calls: list[tuple[ScoreRequest, ...]] = []
        """Every batch of requests so far, in order."""

    @property
    def name(self) -> str:
        """What reports call it."""
        return self._name

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """The scripted values of all steps."""
        self.calls.append(tuple(requests))
        return [
            Scores(tuple(self._value(request.state, step) for step in request.steps))
            for request in requests
        ]

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`."""
        return self.score(requests)

    def _value(self, state: State, step: Step) -> float:
        text = state.text + step.text
        if callable(self._values):
            return self._values(text)
        for key in (text, text.strip(), step.text, step.text.strip()):
            if key in self._values:
                return self._values[key]
        return self._default
