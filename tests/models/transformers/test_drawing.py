from __future__ import annotations

import pytest
import torch

from langchain_qstar.models.transformers import drawing
from langchain_qstar.models.transformers.drawing import (
    Truncation,
    draw,
    drawing_device,
    logprobs_of,
    penalise,
    seed_tensor,
    uniforms,
)

CPU = torch.device("cpu")


def at(seeds, position):
    """Uniforms of seeds, all at one position."""
    tensor = seed_tensor(seeds, CPU)
    return uniforms(tensor, torch.full_like(tensor, position))


def test_uniforms_are_those_of_splitmix64():
    # splitmix64 from state 0 begins with 0xE220A8397B1DCDAF; a seed's stream
    # starts from the seed's own hash, so position 0 of that state shows it.
    mask = 2**64 - 1

    def mix(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    assert mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF
    for position in (0, 1, 1000):
        state = mix(0x9E3779B97F4A7C15) + (position + 1) * 0x9E3779B97F4A7C15
        expected = (mix(state & mask) >> 11) * 2.0**-53
        assert at([0], position).item() == expected


def test_uniforms_fill_the_unit_interval_evenly():
    drawn = torch.stack([at(range(1000), p) for p in range(20)])
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    counts = torch.histc(drawn.float(), bins=10, min=0, max=1)
    assert (counts - 2000).abs().max() < 200


def test_neighbouring_seeds_and_positions_are_unrelated():
    a = torch.stack([at(range(2000), p) for p in (0, 1)])
    b = at(range(1, 2001), 0)
    assert abs(torch.corrcoef(a)[0, 1]) < 0.06
    assert abs(torch.corrcoef(torch.stack([a[0], b]))[0, 1]) < 0.06
    assert not set(a[0].tolist()) & set(a[1].tolist())


def test_seeds_of_any_size_keep_their_low_64_bits():
    assert seed_tensor([2**64 + 5, 2**63, -1], CPU).tolist() == [5, -(2**63), -1]


def test_devices_that_cannot_count_in_64_bits_leave_drawing_to_the_cpu():
    assert drawing_device(torch.device("mps")) == CPU
    assert drawing_device(torch.device("cuda")) == torch.device("cuda")


def draws(logits, count, temperature=1.0, **truncation):
    rows = torch.tensor(logits).repeat(count, 1)
    full = lambda value: torch.full((count,), value)  # noqa: E731
    limits = {"top_p": 1.0, "top_k": 0, "min_p": 0.0} | truncation
    kept = Truncation(**{name: full(value) for name, value in limits.items()})
    return draw(rows, at(range(count), 0), full(float(temperature)), kept if truncation else None)


def test_tokens_are_drawn_with_their_probabilities():
    logits = [0.0, 1.0, 2.0, -1.0]
    for temperature in (1.0, 0.5):
        tokens = draws(logits, 20_000, temperature)
        share = torch.bincount(tokens, minlength=4) / 20_000
        expected = (torch.tensor(logits) / temperature).softmax(-1)
        torch.testing.assert_close(share, expected, atol=0.015, rtol=0)


def test_log_probabilities_are_untempered_and_untruncated():
    logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    expected = [logits[0].log_softmax(-1)[2], logits[1].log_softmax(-1)[0]]
    found = logprobs_of(logits, torch.tensor([2, 0]))
    torch.testing.assert_close(found, torch.stack(expected))


def test_temperature_zero_takes_the_most_probable():
    tokens = draws([0.0, 1.0, 0.999], 50, 0.0)
    assert set(tokens.tolist()) == {1}


def test_top_k_keeps_the_k_most_probable():
    tokens = draws([0.0, 3.0, 1.0, 2.0], 500, 5.0, top_k=2)
    assert set(tokens.tolist()) == {1, 3}


def test_the_nucleus_holds_the_token_that_reaches_top_p():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().tolist()
    tokens = draws(logits, 1000, 1.0, top_p=0.7)
    assert set(tokens.tolist()) == {0, 1}


def test_an_empty_nucleus_still_holds_the_most_probable_token():
    tokens = draws([1.0, 0.0], 50, 1.0, top_p=0.0)
    assert set(tokens.tolist()) == {0}


def test_a_token_of_probability_zero_is_never_drawn():
    tokens = draws([float("-inf"), 0.0, float("-inf"), 0.0, float("-inf")], 5000)
    assert set(tokens.tolist()) == {1, 3}


def test_min_p_is_relative_to_the_most_probable_token():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().tolist()
    assert set(draws(logits, 1000, min_p=0.5).tolist()) == {0, 1}
    assert set(draws(logits, 1000, min_p=1.0).tolist()) == {0}


def test_positions_may_differ_from_row_to_row():
    seeds = seed_tensor([5, 5, 6], CPU)
    together = uniforms(seeds, torch.tensor([0, 7, 7]))
    assert together.tolist() == [at([5], 0).item(), at([5], 7).item(), at([6], 7).item()]


def test_a_penalty_makes_what_was_seen_less_probable():
    logits = torch.tensor([[2.0, -2.0, 1.0], [2.0, -2.0, 1.0]])
    penalise(logits, 0, torch.tensor([0, 1]), 2.0)
    assert logits.tolist() == [[1.0, -4.0, 1.0], [2.0, -2.0, 1.0]]


@pytest.mark.parametrize(
    "limits",
    [
        {"top_p": 0.95},
        {"top_p": 0.6, "top_k": 20},
        {"top_k": 5},
        {"min_p": 0.05},
        {"min_p": 0.01, "top_k": 1000},
        {"top_p": 0.2, "min_p": 0.3},
    ],
    ids=str,
)
def test_of_a_large_vocabulary_the_same_is_kept_without_sorting_all_of_it(limits, monkeypatch):
    torch.manual_seed(0)
    rows = torch.stack([torch.randn(500) * scale for scale in (0.1, 2, 9)]).bfloat16().float()
    full = {"top_p": 1.0, "top_k": 0, "min_p": 0.0} | limits
    truncation = Truncation(**{name: torch.full((3,), value) for name, value in full.items()})
    whole = truncation.apply(rows)
    monkeypatch.setattr(drawing, "SORTED", 100)
    assert truncation.apply(rows).isfinite().equal(whole.isfinite())
    assert truncation.apply(rows).equal(whole)


def test_a_token_is_found_in_the_last_block_which_is_short():
    logits = torch.full((1, 700), float("-inf"))
    logits[0, 690:] = 0.0
    drawn = {
        int(draw(logits, torch.tensor([u]).double(), torch.ones(1))) for u in (0.0, 0.55, 0.999)
    }
    assert drawn == {690, 695, 699}
