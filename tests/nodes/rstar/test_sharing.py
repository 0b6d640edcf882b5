from __future__ import annotations

import pytest

from langchain_qstar.nodes.rstar.sharing import shared


@pytest.mark.parametrize("amount", [0, 1, 2, 5, 7, 100])
@pytest.mark.parametrize("weights", [[1, 1], [3, 0, 5, 1], [1, 1000, 1]])
def test_all_is_dealt_out_and_nothing_to_who_asks_for_nothing(amount: int, weights: list[int]):
    shares = shared(amount, weights)
    assert sum(shares) == amount
    assert all(share == 0 for share, weight in zip(shares, weights, strict=True) if not weight)


def test_shares_are_in_proportion():
    assert shared(90, [1, 0, 2]) == [30, 0, 60]
    assert shared(5, []) == []
    assert shared(5, [0, 0]) == [0, 0]
