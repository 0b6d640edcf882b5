"""What a server of a model can, and what that means for a search over it.

The server is asked as a search would ask it, through `RemotePolicy`: what that finds out when
it connects, and a few samples of a short text. Everything is measured once, which tells a server
that works from one that does not, and is no measurement of its speed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from langchain_qstar.errors import GrammarError, InputError, ModelError, ModelSpecError
from langchain_qstar.protocols import Completion, SampleRequest, State
from langchain_qstar.rendering import plain, without_credentials

if TYPE_CHECKING:
    from langchain_qstar.models.remote.policy import RemotePolicy

TOKENS: Final = 32
"""Of each sample."""

_ASKED: Final = "Write a story about a lighthouse."
_STOPS: Final = (" ", "\n", ",", ".")
"""No text of `TOKENS` tokens is without any of them."""

_GRAMMARS: Final = {
    "JSON schema": '{"type": "object", "properties": {"a": {"type": "integer", "enum": [1]}}, '
    '"required": ["a"], "additionalProperties": false}',
    "GBNF": 'root ::= "yes" | "no"',
    "Lark": 'start: "yes" | "no"',
}
_TOLD: Final = ("n:", "seed:", "stop:", "logprobs:", "prefill:", "grammar:")
"""How those shortfalls begin that are told as abilities."""

_WAYS: Final = {
    "text": "steps are continued as raw text",
    "continue": "steps continue the answer that is begun",
    "instruct": "each step is asked for by instruction, which reads and costs more",
}
_MEANS: Final[dict[str, dict[bool | None, str]]] = {
    "log-probabilities": {
        True: "steps are ranked by how probable they are to the model",
        False: "steps are ranked by agreement",
    },
    "seeds": {
        True: "the same seed gives the same text, so a search can be repeated",
        False: "the same search may end otherwise next time",
        None: "every sample is the same, whatever its seed",
    },
    "samples differ": {
        True: "a search has something to choose from",
        False: "all samples were the same text, so a search finds what greedy decoding finds",
    },
    "n": {
        True: "all samples of a state are one request",
        False: "each sample is a request of its own, which reads the prompt again",
    },
    "stop strings": {
        True: "a step ends where it should",
        False: "the server writes on after a step, and what it writes is paid for and cut",
    },
}


@dataclass(frozen=True, slots=True)
class Ability:
    """Something that a server can or cannot.

    Attributes:
        name: What it is.
        there: Whether the server can; None when it could not be told.
        means: For a search, in a few words.
    """

    name: str
    there: bool | None
    means: str


@dataclass(frozen=True, slots=True)
class ServerReport:
    """What was found out about a server that answers.

    Attributes:
        model: The model that was asked.
        url: Where, without credentials.
        others: How many more models the server lists; None when nobody asked.
        connecting: Seconds until it was known what the server can, its first replies included.
        completion: Seconds that a first sample took after that.
        tokens: What that sample generated.
        window: Context length in tokens, None when it does not say.
        abilities: In the order in which they are told.
        shortfalls: What else it did not do as asked, a line each.
    """

    model: str
    url: str
    others: int | None
    connecting: float
    completion: float
    tokens: int
    window: int | None
    abilities: tuple[Ability, ...]
    shortfalls: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON types."""
        return asdict(self)


def examine_server(spec: str, *, api_key: str | None = None, timeout: float = 60.0) -> ServerReport:
    """Ask a server what it can.

    Args:
        spec: `openai:NAME@URL`, or the URL alone, which means the model that it lists first.
        api_key: Sent as bearer token; it becomes no part of a message.
        timeout: Seconds to wait for each reply.

    Raises:
        InputError: The server does not answer or refuses, has another model, or `spec` is none of
            a server; one line that says what to do.
        MissingExtraError: The extra `remote` is not installed.
    """
    try:
        return _examined(spec, api_key, timeout)
    except (ModelError, ModelSpecError) as error:
        raise InputError(str(error)) from error


def _examined(spec: str, api_key: str | None, timeout: float) -> ServerReport:
    from langchain_qstar.models.remote.policy import RemotePolicy

    name, url, others = _model(spec, api_key, timeout)
    started = time.perf_counter()
    policy = RemotePolicy.connect(name, url, api_key=api_key, timeout=timeout, retries=0)
    try:
        connecting = time.perf_counter() - started
        started = time.perf_counter()
        first = _sample(policy, 1)[0]
        completion = time.perf_counter() - started
        abilities = tuple(_abilities(policy, first))
        return ServerReport(
            model=name,
            url=without_credentials(url),
            others=others,
            connecting=connecting,
            completion=completion,
            tokens=first.generated,
            window=policy.window,
            abilities=abilities,
            shortfalls=tuple(each for each in policy.shortfalls if not each.startswith(_TOLD)),
        )
    finally:
        policy.close()


def _model(spec: str, api_key: str | None, timeout: float) -> tuple[str, str, int | None]:
    """The model and where it is, and how many more there are if that was asked."""
    from langchain_qstar.models.remote.addresses import base_of, served_models

    name, found, rest = spec.removeprefix("openai:").partition("@http")
    if spec.startswith("openai:") and found and name:
        return name, base_of(f"http{rest}"), None
    if not spec.startswith(("http://", "https://")):
        raise ModelSpecError(
            f"--policy {spec[:200]!r} is no server; write http://HOST:PORT/v1 "
            "or openai:NAME@http://HOST:PORT/v1"
        )
    url = base_of(spec)
    models = served_models(url, api_key=api_key, timeout=timeout)
    if not models:
        raise ModelSpecError(f"{url} lists no models; write openai:NAME@{url}")
    return models[0], url, len(models) - 1


def _sample(policy: RemotePolicy, *seeds: int, **options: Any) -> list[Completion]:
    state = State(_ASKED, (("user", _ASKED),))
    settings: dict[str, Any] = {"stop": (), "max_tokens": TOKENS, "temperature": 1.0} | options
    (completions,) = policy.sample([SampleRequest(state, seeds, **settings)])
    return completions


def _abilities(policy: RemotePolicy, first: Completion) -> Iterator[Ability]:
    way = policy.abilities.way
    yield Ability("continuing", way != "instruct", _WAYS[way])
    offered = "logprobs" in policy.abilities.options
    yield _ability("log-probabilities", offered and bool(first.logprobs or not first.text))
    again, others = _sample(policy, 1)[0], _sample(policy, 2, 3)
    differ = len({each.text for each in (first, *others)}) > 1
    same = "seed" in policy.abilities.options and first.text == again.text
    yield _ability("seeds", there=None if same and not differ else same)
    yield _ability("samples differ", differ)
    yield _ability("n", "n" in policy.abilities.options)
    _sample(policy, 1, stop=_STOPS)
    ignored = any(each.startswith("stop:") for each in policy.shortfalls)
    yield _ability("stop strings", not ignored)
    yield _grammars(policy)


def _ability(name: str, there: bool | None) -> Ability:  # noqa: FBT001  # the name says of what
    return Ability(name, there, _MEANS[name][there])


def _grammars(policy: RemotePolicy) -> Ability:
    """Which notations it enforces; a search by itself needs none."""
    held = []
    for notation, grammar in _GRAMMARS.items():
        try:
            _sample(policy, 1, grammar=grammar, grammar_required=True)
        except GrammarError:
            continue
        held.append(notation)
    if not held:
        means = "searches need none; tools and structured answers may not be as their schema says"
        return Ability("grammars", there=False, means=means)
    if "JSON schema" in held:
        means = "tools and structured answers are held to their schemas"
    else:
        means = "tools and structured answers may not be as their schema says"
    return Ability("grammars", there=True, means=f"{', '.join(held)}; {means}")


_SAID: Final = {True: "yes", False: "no", None: "unknown"}


def server_lines(report: ServerReport) -> Iterator[str]:
    """The report as a person reads it; whatever the server named is made safe to show."""
    model, url = plain(report.model), plain(report.url)
    more = f", the first of {report.others + 1} models there" if report.others else ""
    yield f"server             {url}, answers; {report.connecting:.2f} s to learn what it can"
    yield f"model              {model}{more}"
    speed = f", {report.tokens / report.completion:.0f} tokens/s" if report.completion else ""
    yield f"first completion   {report.completion:.2f} s for {report.tokens} tokens{speed}"
    window = "not told" if report.window is None else f"{report.window} tokens"
    yield f"window             {window}"
    for each in report.abilities:
        yield f"{each.name:<18} {_SAID[each.there]}: {each.means}"
    for number, line in enumerate(report.shortfalls):
        yield f"{'also' if not number else '':<18} {plain(line)}"
