"""The arithmetic of Q*: one function per equation of the paper.

`P` below is the process reward R_P of a step, `Q` the value that the Q-value
model gives a step. Larger is better throughout: Q* is A* as a maximisation,
and since h is learnt it is not admissible, so nothing here promises an optimum.

Source: Q* (arXiv 2406.14283), section 3; the choices are
those of docs/papers.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Aggregator = Literal["min", "max", "sum", "last", "constant"]
"""How the process rewards of a path become its g."""


def path_cost(aggregator: Aggregator, rewards: Sequence[float]) -> float:
    """The utility of the steps so far, `g(s_t) = Agg(P(s_1), ..., P(s_t))`.

    `last` is the paper's `[-1]`: the reward of the last step only, so that an
    earlier penalty is forgotten. `constant` is g = 0, the paper's setting for
    MATH. The root has no steps and g = 0 (choice 3).

    Args:
        aggregator: One of `min`, `max`, `sum`, `last`, `constant`.
        rewards: The process rewards of the path's steps, in order.

    Returns:
        g, in the unit of the rewards.

    Source:
        Section 3.1; choices 3 and 13.
    """
    if not rewards or aggregator == "constant":
        return 0.0
    match aggregator:
        case "min":
            return min(rewards)
        case "max":
            return max(rewards)
        case "sum":
            return sum(rewards)
        case "last":
            return rewards[-1]


def heuristic(candidates: Sequence[float]) -> float:
    """What can still be reached, `h(s_t) = max over a of Q(s_t, a)`.

    Args:
        candidates: Q-values of the sampled candidate actions of the state. For
            a terminal state and in `edge` mode it is the one value of the step
            that led here: Q(s_{t-1}, a_t) = max_a Q(s_t, a) for the exact Q*
            (choices 1 and 2).

    Returns:
        h; 0 for a state that has no candidate.

    Source:
        Section 3.1.
    """
    return max(candidates, default=0.0)


def utility(g: float, h: float, lam: float) -> float:
    """The utility that is maximised, `f(s_t) = g(s_t) + lambda * h(s_t)`.

    Source: section 3.1.
    """
    return g + lam * h


def biased(f: float, depth: int, bias: float) -> float:
    """The utility by which open states are ordered, `f + bias * depth`.

    With a bias of 0, the default, it is the paper's. A small one makes the deeper of nearly
    equal states the next to pop, so that a search reaches complete solutions before its budget
    ends. It orders pops only: what is returned is chosen by f. Our own, not in the paper.
    """
    return f + bias * depth


def priority(f: float, depth: int, order: int) -> tuple[float, int, int]:
    """The key by which open nodes are popped, smallest first.

    Highest f, then deepest, then earliest inserted: deterministic, and a
    finished path is preferred to an equally good beginning.

    Source: choice 6.
    """
    return (-f, -depth, order)
