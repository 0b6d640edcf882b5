"""What a value network is trained to make small.

Each function takes logits [n], targets [n] in [0, 1] and the number of the problem of
every row, int64 [n], and returns a scalar in which every problem weighs the same,
however many steps it has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import torch
from torch import Tensor

_LEAST: Final = 0.5
"""Right or wrong rollouts of a problem, at least: one that has nearly none is not all of it."""

Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


def squared_error(logits: Tensor, targets: Tensor, problem: Tensor) -> Tensor:
    """(sigmoid(z) - y)^2. Source: Q*, section 3.2."""
    return _over_problems((torch.sigmoid(logits) - targets) ** 2, problem)


def cross_entropy(logits: Tensor, targets: Tensor, problem: Tensor) -> Tensor:
    """-y log p - (1 - y) log (1 - p). Source: Math-Shepherd, equation 2."""
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return _over_problems(loss, problem)


def pairwise(logits: Tensor, targets: Tensor, problem: Tensor) -> Tensor:
    """-log sigmoid(z_i - z_j) over the pairs of one problem with y_i > y_j.

    It sees differences within a problem only, so it cannot learn which problem is
    easy; its values mean something only after calibration. Problems without such a
    pair count nothing. Source: Bradley and Terry, 1952.
    """
    better = targets[:, None] > targets[None, :]
    pairs = better & (problem[:, None] == problem[None, :])
    first, second = pairs.nonzero(as_tuple=True)
    if not len(first):
        return logits.sum() * 0.0
    loss = torch.nn.functional.softplus(logits[second] - logits[first])
    return _over_problems(loss, problem[first])


def balanced(logits: Tensor, targets: Tensor, problem: Tensor) -> Tensor:
    """Cross-entropy in which right and wrong of a problem weigh the same, and its pairs.

    Most rollouts of a hard question are wrong, so plain cross-entropy mostly learns that;
    only what differs within a question helps to choose. Its values mean something only after
    calibration. Source: the sum of `cross_entropy` and `pairwise`, as reward models of single
    steps are trained.
    """
    _, place, counts = torch.unique(problem, return_inverse=True, return_counts=True)
    right = torch.zeros(len(counts), device=targets.device).index_add(0, place, targets)
    right = right.clamp_min(_LEAST)[place]
    wrong = torch.zeros(len(counts), device=targets.device).index_add(0, place, 1 - targets)
    wrong = wrong.clamp_min(_LEAST)[place]
    softplus = torch.nn.functional.softplus
    each = targets / right * softplus(-logits) + (1 - targets) / wrong * softplus(logits)
    return each.sum() / (2 * len(counts)) + pairwise(logits, targets, problem)


def _over_problems(loss: Tensor, problem: Tensor) -> Tensor:
    """The mean over problems of the mean over the rows of each."""
    _, place, counts = torch.unique(problem, return_inverse=True, return_counts=True)
    mean: Tensor = (loss / counts[place]).sum() / len(counts)
    return mean


LOSSES: Final[dict[str, Loss]] = {
    "cross-entropy": cross_entropy,
    "regression": squared_error,
    "pairwise": pairwise,
    "balanced": balanced,
}
"""By the names that a recipe has for them."""
