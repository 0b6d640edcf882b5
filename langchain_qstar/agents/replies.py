"""Several replies of one model at one point of a conversation: agreement, and the choice.

Pure functions on messages. Two replies are the same when they make the same tool
calls, in whatever order, or when they make none and say the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import add_usage

from langchain_qstar.agents.conversation import log_probabilities, written_call

Same = Callable[[str, str], bool]
"""Whether two texts say the same."""


def same_words(a: str, b: str) -> bool:
    """Whether two texts are equal but for white space."""
    return a.split() == b.split()


def groups_of(replies: Sequence[AIMessage], same: Same) -> list[list[int]]:
    """Positions of equal replies, in the order in which each was first given."""
    groups: list[list[int]] = []
    for place, reply in enumerate(replies):
        for group in groups:
            if _equal(replies[group[0]], reply, same):
                group.append(place)
                break
        else:
            groups.append([place])
    return groups


def _equal(a: AIMessage, b: AIMessage, same: Same) -> bool:
    calls, others = (sorted(map(written_call, reply.tool_calls)) for reply in (a, b))
    return calls == others and (bool(calls) or same(str(a.text), str(b.text)))


def sureness(reply: AIMessage) -> float | None:
    """The geometric mean of a reply's token probabilities, in [0, 1].

    That is the exponential of its mean token log-probability; None when its model
    gives no log-probabilities.
    """
    given = log_probabilities(reply)
    return min(1.0, math.exp(math.fsum(given) / len(given))) if given else None


def with_cost(reply: AIMessage, others: Sequence[AIMessage], facts: dict[str, Any]) -> AIMessage:
    """A copy of `reply` that counts the tokens of `others`, which it was chosen among.

    Args:
        reply: The reply that is given.
        others: Those that are not, but were paid for.
        facts: How it was chosen; added to `response_metadata["search"]`.
    """
    usages = [each.usage_metadata for each in (reply, *others) if each.usage_metadata]
    known = reply.response_metadata.get("search", {})
    return reply.model_copy(
        update={
            "usage_metadata": reduce(add_usage, usages) if usages else None,
            "response_metadata": {**reply.response_metadata, "search": {**known, **facts}},
        }
    )
