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


def _over_problems(loss: Tensor, problem: Tensor) -> Tensor:
    """The mean over problems of the mean over the rows of each."""
    _, place, counts = torch.unique(problem, return_inverse=True, return_counts=True)
    mean: Tensor = (loss / counts[place]).sum() / len(counts)
    return mean


LOSSES: Final[dict[str, Loss]] = {
    "cross-entropy": cross_entropy,
    "regression": squared_error,
    "pairwise": pairwise,
}
"""By the names that a recipe has for them."""
