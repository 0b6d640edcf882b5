from __future__ import annotations

import pytest
import torch

from langchain_qstar.errors import ModelError
from langchain_qstar.models.transformers import tree_attention
from langchain_qstar.models.transformers.tree_attention import (
    Plan,
    SlotLayer,
    attend,
    following,
    grid_of,
)

HEADS, KEY_HEADS, SIZE = 4, 2, 8


def by_hand(query, keys, values, seen):
    """Attention of one token [heads, size] over the columns it sees, head by head."""
    mixed = []
    for head in range(HEADS):
        own = head // (HEADS // KEY_HEADS)
        scores = torch.stack([query[head] @ keys[column, own] for column in seen]) * 0.3
        shares = scores.softmax(0)
        parts = [share * values[column, own] for share, column in zip(shares, seen, strict=True)]
        mixed.append(torch.stack(parts).sum(0))
    return torch.stack(mixed)


@pytest.mark.parametrize("folded", [True, False])
def test_a_token_attends_to_what_it_sees_in_its_slot(folded, monkeypatch):
    monkeypatch.setattr(tree_attention, "FOLDED", 64 if folded else 0)
    torch.manual_seed(0)
    keys, values = torch.randn(2, 5, KEY_HEADS, SIZE), torch.randn(2, 5, KEY_HEADS, SIZE)
    query = torch.randn(1, HEADS, 3, SIZE)
    # Tokens 0 and 2 are branches of slot 0, token 1 is alone in slot 1.
    seen = [[0, 1, 3], [0, 1, 2, 3], [0, 1, 4]]
    back = torch.tensor([0, 2, 1])
    mask = torch.full((2, 2, 5), float("-inf"))
    for place, columns in zip(back.tolist(), seen, strict=True):
        mask.view(4, 5)[place, columns] = 0
    mask[1, 1] = 0  # an empty place sees anything
    plan = Plan(torch.tensor([]), torch.tensor([]), grid_of(back, 4), back, mask)
    with following(plan):
        mixed, _ = attend(
            torch.nn.Identity(),
            query,
            keys.transpose(1, 2),
            values.transpose(1, 2),
            None,
            scaling=0.3,
        )
    for token, slot in enumerate((0, 1, 0)):
        expected = by_hand(query[0, :, token], keys[slot], values[slot], seen[token])
        torch.testing.assert_close(mixed[0, token], expected)


def test_new_tokens_are_written_to_their_places():
    keys, values = torch.zeros(2, KEY_HEADS, 3, SIZE), torch.zeros(2, KEY_HEADS, 3, SIZE)
    layer = SlotLayer(keys, values)
    new = torch.randn(1, KEY_HEADS, 2, SIZE)
    slots, columns = torch.tensor([0, 1]), torch.tensor([1, 2])
    plan = Plan(slots, columns, None, torch.tensor([0, 1]), torch.zeros(2, 1, 2))
    with following(plan):
        shown, _ = layer.update(new, -new)
    torch.testing.assert_close(keys[0, :, 1], new[0, :, 0])
    torch.testing.assert_close(values[1, :, 2], -new[0, :, 1])
    assert shown.shape == (2, KEY_HEADS, 2, SIZE)


@pytest.mark.parametrize("option", ["softcap", "sliding_window", "s_aux"])
def test_attention_that_is_something_else_is_refused(option):
    first = torch.tensor([0])
    plan = Plan(first, first, None, first, torch.zeros(1, 1, 1))
    one = torch.ones(1, HEADS, 1, SIZE)
    with following(plan), pytest.raises(ModelError, match=option):
        attend(torch.nn.Identity(), one, one, one, None, **{option: 2.0})


def test_a_plan_ends_with_its_pass_also_when_that_fails():
    first = torch.tensor([0])
    plan = Plan(first, first, None, first, torch.zeros(1, 1, 1))
    with pytest.raises(ValueError, match="failed"), following(plan):
        raise ValueError("failed")
    one = torch.ones(1, HEADS, 3, SIZE)
    mixed, _ = attend(torch.nn.Identity(), one, one, one, None)
    torch.testing.assert_close(mixed, one.transpose(1, 2))
