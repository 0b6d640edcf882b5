"""The arithmetic of rStar's tree search: one function per equation.

Q below is the sum of the rewards backed up through a node and N how often that
happened. Source: rStar (arXiv 2408.06195), section 3.2.
"""

from __future__ import annotations

from math import log, sqrt
from typing import Literal

Schedule = Literal["const", "lin", "exp"]
"""How the weight of exploration falls over the rollouts."""


def exploration_weight(schedule: Schedule, c: float, rollout: int, num_rollouts: int) -> float:
    """The weight c_i of UCT in rollout i.

    `const` is c, `lin` is `c * (1 - 0.9 * i / n)`, `exp` is `c * 0.1 ** (i / n)`.

    Args:
        schedule: One of the three.
        c: The weight in rollout 0, at least 0.
        rollout: i, counted from 0.
        num_rollouts: n, the rollouts of the whole search.

    Returns:
        A weight in [0.1 c, c].

    Source:
        The official code; the paper holds c constant.
    """
    share = rollout / num_rollouts
    match schedule:
        case "const":
            return c
        case "lin":
            return c * (1 - 0.9 * share)
        case "exp":
            return float(c * 0.1**share)


def uct(value: float, visits: int, parent_visits: int, weight: float, unobserved: int = 0) -> float:
    """What a visited child is worth, `Q / N + c_i * sqrt(ln N(parent) / N)`.

    Args:
        value: Q of the child.
        visits: N of the child, rewards seen.
        parent_visits: N of its parent, rollouts in flight included; at least 1.
        weight: c_i, see `exploration_weight`.
        unobserved: Rollouts in flight through the child. They count as visits of the
            second term only, so that a mean is one of rewards seen (WU-UCT).

    Returns:
        The value that is maximised; `visits + unobserved` must be at least 1.

    Source:
        Section 3.2; unobserved counts: Liu et al., "Watch the Unobserved" (2020), eq. 4,
        without its factor 2 under the root, so that 0 of them is plain UCT.
    """
    mean = value / visits if visits else 0.0
    return mean + weight * sqrt(log(parent_visits) / (visits + unobserved))
