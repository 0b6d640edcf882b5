"""What a step is worth, by what came after it: one function per published equation.

All of these are pure. A *return* is what a solution earned after a step: with the
outcome reward, 1 when its final answer was right and 0 otherwise.

Sources: Q* (arXiv 2406.14283, section 3.2), Math-Shepherd
(arXiv 2312.08935, equations 3 and 4), MiPS (arXiv 2402.02658, section 3) and OmegaPRM
(arXiv 2406.06592, section 3 and algorithm 1).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from typing import Final

OMEGA_ALPHA: Final = 0.5
OMEGA_BETA: Final = 0.9
OMEGA_LENGTH: Final = 500
OMEGA_C: Final = 0.125


def discounted_return(rewards: Sequence[float], gamma: float = 1.0) -> float:
    """The sum of gamma^k R_k over the rewards that follow a step, k = 1, 2, ..."""
    return math.fsum(gamma**k * reward for k, reward in enumerate(rewards, start=1))


def best_return(returns: Sequence[float]) -> float:
    """The maximum over a pool of rollouts: one right of ten makes it 1.

    Source: Q*, section 3.2, "learning from rollouts".
    """
    return max(returns)


def mean_return(returns: Sequence[float]) -> float:
    """The mean over a pool of rollouts: the chance that the policy goes on to be right."""
    return math.fsum(returns) / len(returns)


def rollout_label(reward: float, pool: Sequence[Sequence[float]], gamma: float = 1.0) -> float:
    """R(s,a) + max over the rollouts of their discounted rewards after it.

    Args:
        reward: R(s, a), the reward of the step itself.
        pool: The rewards of every rollout after the step; empty for a last step.
        gamma: Discount in [0, 1].

    Source: Q*, section 3.2 (construction 2).
    """
    returns = [discounted_return(rewards, gamma) for rewards in pool]
    return reward + best_return(returns or [0.0])


def completion_label(reward: float, rewards: Sequence[float], gamma: float = 1.0) -> float:
    """R(s,a) + the discounted rewards of one completion, by a stronger policy.

    Source: Q*, section 3.2 (construction 3).
    """
    return reward + discounted_return(rewards, gamma)


def bellman_target(reward: float, next_values: Sequence[float], gamma: float = 1.0) -> float:
    """R(s,a) + gamma * max Q(s', a'), or R(s,a) alone where nothing follows.

    Source: Q*, section 3.2, fitted Q-iteration (construction 1).
    """
    return reward + gamma * max(next_values) if next_values else reward


def fitted_q_targets(
    rewards: Sequence[float],
    successors: Mapping[int, Sequence[int]],
    values: Sequence[float],
    gamma: float = 1.0,
) -> list[float]:
    """The labels of one iteration, from the Q-values of the iteration before.

    Args:
        rewards: R of every step of a tree.
        successors: Number of a step -> numbers of the steps that follow it.
        values: Q of every step, of the last iteration; zeros in the first.
        gamma: Discount in [0, 1].

    Returns:
        A label per step. A reward needs as many iterations to reach a step as it
        is steps away.
    """
    return [
        bellman_target(reward, [values[each] for each in successors.get(number, ())], gamma)
        for number, reward in enumerate(rewards)
    ]


def hard_estimate(right: int, completions: int) -> float:
    """1 when any of the completions of a step reached the right answer, else 0.

    Source: Math-Shepherd, equation 3. With rollouts that all pass through the step
    it is Q*'s best return.
    """
    _check_counts(right, completions)
    return float(right > 0)


def soft_estimate(right: int, completions: int) -> float:
    """The share of the completions of a step that reached the right answer.

    Source: Math-Shepherd, equation 4; MiPS, section 3 (the accuracy of a step).
    """
    _check_counts(right, completions)
    return right / completions


def _check_counts(right: int, completions: int) -> None:
    if not 0 <= right <= completions or not completions:
        raise ValueError(f"{right} right of {completions} completions is no estimate")


def first_error(steps: int) -> Generator[int, bool, int]:
    """The first wrong step of a wrong solution, by binary search.

    It is taken that the question itself can be answered and, since the solution is
    wrong, that all its steps together cannot lead to the right answer.

    Args:
        steps: Steps of the solution, at least 1.

    Yields:
        How many steps to keep, about log2(steps) times; it is sent whether some
        rollout from there is right.

    Returns:
        A number from 1 to `steps`: the step after which no rollout is right.

    Source: OmegaPRM, section 3.2.
    """
    good, bad = 0, steps
    while bad - good > 1:
        middle = (good + bad) // 2
        if (yield middle):
            good = middle
        else:
            bad = middle
    return bad


def omega_value(
    estimate: float,
    length: int,
    *,
    alpha: float = OMEGA_ALPHA,
    beta: float = OMEGA_BETA,
    longest: int = OMEGA_LENGTH,
) -> float:
    """Q(s, r) = alpha^(1 - MC(s)) * beta^(len(r) / L): how much a wrong rollout promises.

    Args:
        estimate: MC(s), the share of right rollouts from the state, in [0, 1].
        length: Tokens (or characters, if `longest` counts those) of the rollout.
        alpha: In (0, 1]; the smaller, the more a state that is mostly right counts.
        beta: In (0, 1]; the smaller, the more short rollouts are preferred.
        longest: L, the length that costs one factor of beta.

    Source: OmegaPRM, equation 1; the values OpenR runs with.
    """
    return float(alpha ** (1 - estimate) * beta ** (length / longest))


def omega_bonus(visits: int, total: int, c: float = OMEGA_C) -> float:
    """U(s) = c * sqrt(sum of all visits) / (1 + N(s)): how little a state was explored.

    Source: OmegaPRM, equation 2.
    """
    return c * math.sqrt(total) / (1 + visits)


def select_rollout(candidates: Sequence[tuple[float, int, int]]) -> int:
    """The (state, wrong rollout) pair of greatest Q + U; the earlier among equals.

    Args:
        candidates: For each pair: MC of the state, length of the rollout, and how
            often the state was chosen before.

    Source: OmegaPRM, section 3.3.
    """
    total = sum(visits for _, _, visits in candidates)
    utilities = [
        omega_value(estimate, length) + omega_bonus(visits, total)
        for estimate, length, visits in candidates
    ]
    return utilities.index(max(utilities))
