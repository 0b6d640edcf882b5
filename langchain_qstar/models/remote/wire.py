"""What goes over the wire: requests as JSON, and replies read with suspicion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from langchain_qstar.protocols import whole_characters

CHAT: Final = "/chat/completions"
TEXT: Final = "/completions"

SEEDS: Final = 2**31
"""Seeds are sent modulo this: some servers keep 32 bits, and one of those means `random`."""


_MOST: Final = 2**53
"""Counts from here on are no counts."""

_SLIGHTLY: Final = 1e-3
"""What rounding may put a log-probability above 0."""


class MalformedReplyError(Exception):
    """A reply that is not what such a server says."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One sample of a reply.

    Attributes:
        text: What was generated, without the stop string if the server removes it.
        finish: The server's reason for ending, such as `stop` or `length`.
        matched: The stop string that ended it; empty when the server says that
            none did; None when it does not say.
        tokens: The text of each token; None when the server tells nothing of them.
        logprobs: The natural-log probability of each of `tokens`.
    """

    text: str
    finish: str
    matched: str | None = None
    tokens: tuple[str, ...] | None = None
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; what the server does not tell of its counts and its `model` is None."""

    choices: tuple[Choice, ...]
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    model: str | None = None


def read_reply(data: Mapping[str, Any]) -> Reply:
    """The reply in a JSON object.

    Raises:
        MalformedReplyError: It holds no choices with text.
    """
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices:
        raise MalformedReplyError("the reply holds no choices")
    raw = data.get("usage")
    usage: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return Reply(
        choices=tuple(map(_choice, sorted(choices, key=_index))),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(cached) or 0,
        model=model if isinstance(model := data.get("model"), str) else None,
    )


def _index(choice: Any) -> int:
    return (_count(choice.get("index")) or 0) if isinstance(choice, Mapping) else 0


def error_of(data: Mapping[str, Any]) -> Any:
    """What a reply without choices calls its error, None when it does not."""
    return data.get("error") or None if not data.get("choices") else None


def _count(value: Any) -> int | None:
    known = isinstance(value, int) and not isinstance(value, bool)
    return value if known and 0 <= value < _MOST else None


def _choice(data: Any) -> Choice:
    if not isinstance(data, Mapping):
        raise MalformedReplyError("a choice of the reply is no object")
    message = data.get("message")
    text = message.get("content") if isinstance(message, Mapping) else data.get("text")
    if text is None and isinstance(message, Mapping):
        text = ""  # nothing was said, or all of it in a thought that is kept apart
    if isinstance(text, list):  # parts, as chat messages may have them
        parts = [each.get("text") for each in text if isinstance(each, Mapping)]
        text = "".join(each for each in parts if isinstance(each, str))
    if not isinstance(text, str):
        raise MalformedReplyError("a choice of the reply holds no text")
    text = whole_characters(text)
    tokens, logprobs = _logprobs(data.get("logprobs"))
    return Choice(text, str(data.get("finish_reason")), _matched(data), tokens, logprobs)


def _matched(data: Mapping[str, Any]) -> str | None:
    """The stop string as vLLM (`stop_reason`) and SGLang (`matched_stop`) tell it."""
    for key in ("stop_reason", "matched_stop"):
        if key in data:
            reason = data[key]
            return reason if isinstance(reason, str) else ""
    return None


def _logprobs(data: Any) -> tuple[tuple[str, ...] | None, tuple[float, ...]]:
    """Tokens and log-probabilities, in the forms of both endpoints; None when in doubt."""
    if not isinstance(data, Mapping):
        return None, ()
    content, tokens, values = (data.get(key) for key in ("content", "tokens", "token_logprobs"))
    if isinstance(content, list):
        told = [each for each in content if isinstance(each, Mapping)]
        pairs = [(each.get("token"), each.get("logprob")) for each in told]
    elif isinstance(tokens, list) and isinstance(values, list):
        pairs = list(zip(tokens, values, strict=False))
    else:
        return None, ()
    known = [(t, min(0.0, v)) for t, v in pairs if isinstance(t, str) and _is_logprob(v)]
    if len(known) < len(pairs):
        return None, ()
    return tuple(token for token, _ in known), tuple(value for _, value in known)


def _is_logprob(value: Any) -> TypeGuard[float]:
    """Whether it is a finite number that is not above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -_MOST < value <= _SLIGHTLY and math.isfinite(value)


def chat_messages(messages: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """(role, content) pairs as the wire has them."""
    return [{"role": role, "content": content} for role, content in messages]
