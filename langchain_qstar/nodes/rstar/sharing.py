"""What each action of an expansion may spend: actions run at the same time, so none can wait.

The tokens and completions that a round may spend are dealt out beforehand, in proportion to
what each action would spend if all it asks for came to its limit. So what an action gets does
not depend on how quickly another one was, or on whether the search was killed between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_qstar.nodes.concluding import ANSWER_TOKENS
from langchain_qstar.nodes.phase import Allows
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.protocols import Action
from langchain_qstar.settings.rstar import EVERY_ACTION
from langchain_qstar.spending.allowance import Allowance, allowance_of
from langchain_qstar.state.rstar import Work


@dataclass(frozen=True, slots=True)
class Demand:
    """The most that an action asks for."""

    completions: int
    tokens: int


def demand(parts: Parts, work: Work, action: Action) -> Demand:
    """The most that `action` asks for in the expansions of a round."""
    children = sum(slots.count for _, slots in parts.places(work, action))
    settings, task = parts.settings, parts.task
    line = ANSWER_TOKENS if task.answer_prefill else 0
    match action:
        case "finish":
            votes = settings.num_last_votes
            return _demand(children * votes, task.solution_tokens + line)
        case "subquestion":
            asked = _demand(children, task.step_tokens)
            answers = _demand(children * settings.num_votes, task.step_tokens)
            return Demand(asked.completions + answers.completions, asked.tokens + answers.tokens)
        case "re_answer":
            return _demand(children * settings.num_votes, task.step_tokens)
        case "retrieve":
            return Demand(0, 0)
    return _demand(children, task.step_tokens)


def _demand(completions: int, tokens: int) -> Demand:
    return Demand(completions, completions * tokens)


def shared(amount: int, weights: Sequence[int]) -> list[int]:
    """`amount` dealt out in proportion to `weights`, all of it; what is left goes in order.

    >>> shared(10, [1, 0, 2])
    [4, 0, 6]
    """
    total = sum(weights)
    if not total:
        return [0] * len(weights)
    shares = [amount * each // total for each in weights]
    for place in [place for place, each in enumerate(weights) if each] * 2:
        if sum(shares) < amount:
            shares[place] += 1
    return shares


def make_allows(parts: Parts, action: Action) -> Allows:
    """What `action` may spend in a round, from what its node reads."""

    def allows(view: Mapping[str, Any]) -> Allowance | None:
        work: Work = view["work"]
        allowance = left_of_round(view)
        if allowance is None:
            return None
        place = EVERY_ACTION.index(action)
        demands = [demand(parts, work, each) for each in EVERY_ACTION]
        if allowance.tokens is not None:
            weights = [each.tokens for each in demands]
            allowance.tokens = shared(allowance.tokens, weights)[place]
        if allowance.completions is not None:
            weights = [each.completions for each in demands]
            allowance.completions = shared(allowance.completions, weights)[place]
        return allowance

    return allows


def left_of_round(view: Mapping[str, Any]) -> Allowance | None:
    """What the nodes of a round may spend together."""
    return allowance_of(view["work"].get("budgets", {}), view.get("usage", {}), view.get("since"))
