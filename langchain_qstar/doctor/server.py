"""A server of models: whether it answers, and what it can that a search makes use of."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from langchain_qstar.errors import ModelError, ModelSpecError

if TYPE_CHECKING:
    from langchain_qstar.models.remote.policy import RemotePolicy

SECONDS: Final = 20.0
"""How long a reply may take."""

OPTIONS: Final = {
    "logprobs": "log-probabilities",
    "seed": "seeds",
    "n": "several samples a request",
    "stop": "stop strings",
}
"""What is told apart, by the name of its field in a request."""

_WAYS: Final = {
    "text": "text is continued under a chat template",
    "continue": "an answer that is begun is continued",
    "instruct": "each step is asked for in words",
}


@dataclass(frozen=True, slots=True)
class Server:
    """What was found out about a server.

    Attributes:
        url: Where it is.
        models: Those it lists.
        model: The one that was asked.
        seconds: Of the shortest request.
        way: How a text is continued.
        options: Which of `OPTIONS` it takes and heeds.
        grammars: The notations of grammars that it enforces.
        window: Context length in tokens, None when it does not say.
        shortfalls: What it lacks, a line each.
        fault: Why it is of no use; then nothing else is known.
    """

    url: str
    models: tuple[str, ...] = ()
    model: str = ""
    seconds: float = 0.0
    way: str = ""
    options: tuple[str, ...] = ()
    grammars: tuple[str, ...] = ()
    window: int | None = None
    shortfalls: tuple[str, ...] = field(default=())
    fault: str = ""


def look_at(spec: str, *, timeout: float = SECONDS) -> Server:
    """Ask a server what it is and can, by a handful of requests of few tokens.

    Args:
        spec: `openai:NAME@URL`, or a URL, where the first model that is listed is asked.
        timeout: Seconds to wait for a reply. The key in `OPENAI_API_KEY` is sent along.

    Raises:
        MissingExtraError: The extra `remote` is not installed.
        ModelSpecError: `spec` names no server.
    """
    from langchain_qstar.models.remote.listing import base_url, models_at
    from langchain_qstar.models.remote.policy import RemotePolicy

    name, _, rest = spec.removeprefix("openai:").rpartition("@http")
    url = base_url(f"http{rest}" if name else spec)
    key = os.environ.get("OPENAI_API_KEY")
    try:
        models = models_at(url, api_key=key, timeout=timeout)
        if not (name or models):
            return Server(url, fault="it lists no model; name one: openai:NAME@URL")
        policy = RemotePolicy.connect(
            name or models[0], url, api_key=key, timeout=timeout, retries=0
        )
    except (ModelError, ModelSpecError) as error:
        return Server(url, fault=str(error))
    try:
        return _asked(policy, url, models, name or models[0])
    except ModelError as error:
        return Server(url, models, name or models[0], fault=str(error))
    finally:
        policy.close()


def _asked(policy: RemotePolicy, url: str, models: tuple[str, ...], model: str) -> Server:
    from langchain_qstar.protocols import SampleRequest, State

    start = time.perf_counter()
    policy.sample([SampleRequest(State("1 + 1?", (("user", "1 + 1?"),)), (0,), max_tokens=1)])
    seconds = time.perf_counter() - start
    abilities = policy.abilities
    return Server(
        url=url,
        models=models,
        model=model,
        seconds=seconds,
        way=_WAYS[abilities.way],
        options=tuple(name for name in OPTIONS if name in abilities.options),
        grammars=policy.enforced_notations(),
        window=policy.window,
        shortfalls=tuple(abilities.shortfalls.values()),
    )
