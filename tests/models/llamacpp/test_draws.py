from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_qstar.models.engine.backend import Sampling, Start
from langchain_qstar.models.engine.kv_tree import KVTree
from langchain_qstar.models.llamacpp.draws import (
    HostDraws,
    _inverted,
    likeliest_of,
    logprobs_of,
    next_logprobs,
    uniforms,
)
from langchain_qstar.models.transformers.drawing import seed_tensor
from langchain_qstar.models.transformers.drawing import uniforms as torch_uniforms
from langchain_qstar.models.transformers.draws import Draws

SEEDS = [0, 1, 2**63, 2**64 - 1, -5, 2**70 + 3]


def started(draws, *samplings, ids=(3, 4)):
    leaf = KVTree(0, lambda *_: None).extend(ids)
    draws.join([Start(leaf, samplings, 10)])
    return draws


def test_uniforms_are_those_of_the_other_backend():
    for position in (0, 1, 77, 5000):
        ours = uniforms(
            np.array([seed % 2**64 for seed in SEEDS], dtype=np.uint64),
            np.full(len(SEEDS), position, dtype=np.uint64),
        )
        seeds = seed_tensor(SEEDS, torch.device("cpu"))
        theirs = torch_uniforms(seeds, torch.full_like(seeds, position))
        np.testing.assert_array_equal(ours, theirs.numpy())


samplings = st.builds(
    Sampling,
    seed=st.integers(-(2**70), 2**70),
    temperature=st.sampled_from([0.0, 0.3, 0.8, 1.0, 3.0]),
    top_p=st.sampled_from([1.0, 0.9, 0.2]),
    top_k=st.sampled_from([0, 1, 5]),
    min_p=st.sampled_from([0.0, 0.1]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
)


@settings(max_examples=60)
@given(
    settings=st.lists(samplings, min_size=1, max_size=5),
    scale=st.sampled_from([0.1, 3.0, 40.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_tokens_are_those_of_the_other_backend(settings, scale, seed):
    logits = np.random.default_rng(seed).normal(size=(len(settings), 50), scale=scale)
    logits = logits.astype(np.float32)
    ours = started(HostDraws(), *settings)
    theirs = started(Draws(torch.device("cpu")), *settings)
    for _ in range(3):
        tokens, logprobs = ours.draw(logits, {})
        expected, expected_logprobs = theirs.draw(torch.from_numpy(logits), {})
        assert tokens == expected.tolist()
        np.testing.assert_allclose(logprobs, expected_logprobs.numpy(), rtol=1e-5, atol=1e-5)
        ours.advance(tokens)
        theirs.advance(tokens)


@settings(max_examples=20)
@given(
    settings=st.lists(samplings, min_size=1, max_size=3),
    scale=st.sampled_from([0.1, 3.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_so_are_those_of_a_large_vocabulary(settings, scale, seed):
    shape = (
        len(settings),
        70_001,
    )  # rows are worked on one by one, in blocks of which one is short
    logits = np.random.default_rng(seed).normal(size=shape, scale=scale).astype(np.float32)
    tokens, logprobs = started(HostDraws(), *settings).draw(logits, {})
    theirs = started(Draws(torch.device("cpu")), *settings)
    expected, expected_logprobs = theirs.draw(torch.from_numpy(logits), {})
    assert tokens == expected.tolist()
    np.testing.assert_allclose(logprobs, expected_logprobs.numpy(), rtol=1e-5, atol=1e-5)


def test_a_uniform_number_picks_the_token_where_the_mass_passes_it():
    logits = np.full(1000, -np.inf, dtype=np.float32)
    logits[[3, 500, 999]] = np.log(np.array([0.25, 0.5, 0.25], dtype=np.float32))
    samplings = [Sampling(seed) for seed in range(200)]
    uniform = uniforms(np.arange(200, dtype=np.uint64), np.zeros(200, dtype=np.uint64))
    drawn = started(HostDraws(), *samplings).draw([logits] * 200, {})[0]
    assert drawn == [3 if each < 0.25 else 500 if each < 0.75 else 999 for each in uniform]


def test_log_probabilities_are_exact_however_large_the_vocabulary():
    logits = np.random.default_rng(1).normal(size=151_936, scale=4).astype(np.float32)
    exact = logits.astype(np.float64)
    exact -= exact.max() + np.log(np.exp(exact - exact.max()).sum())
    np.testing.assert_allclose(
        next_logprobs(logits, [0, 77, 151_935]), exact[[0, 77, -1]], rtol=2e-7
    )
    found = logprobs_of([logits, -logits], [5, 6])
    assert found[0] == pytest.approx(exact[5], rel=2e-7)


def test_the_most_probable_tokens_are_told_in_order_with_what_the_model_gives_them():
    logits = np.log(np.array([0.1, 0.4, 0.3, 0.2], dtype=np.float32))
    found = likeliest_of([logits, logits], {1: 3, 0: 9})
    assert [token for token, _ in found[1]] == [1, 2, 3]
    assert [np.exp(value) for _, value in found[1]] == pytest.approx([0.4, 0.3, 0.2])
    assert [token for token, _ in found[0]] == [1, 2, 3, 0]


def test_branches_that_leave_do_not_change_those_that_stay():
    logits = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    all_of_them = [Sampling(seed) for seed in (5, 6, 7)]
    draws = started(HostDraws(), *all_of_them)
    draws.advance(draws.draw(logits, {})[0])
    expected = draws.draw(logits, {})[0]
    draws.keep([2, 0])
    assert draws.draw(logits[[2, 0]], {})[0] == [expected[2], expected[0]]


def test_tokens_far_below_the_best_one_are_not_looked_at_and_make_no_difference():
    logits = np.full((1, 100_000), -40.0, dtype=np.float32)
    logits[0, [7, 9]] = 0.0
    assert np.exp(next_logprobs(logits[0], [7])) == pytest.approx(0.5)
    drawn = {started(HostDraws(), Sampling(seed)).draw(logits, {})[0][0] for seed in range(30)}
    assert drawn == {7, 9}


def test_a_grammar_leaves_the_log_probability_of_the_model():
    logits = np.log(np.array([[0.7, 0.2, 0.1]], dtype=np.float32))
    draws = started(HostDraws(), Sampling(0))
    tokens, logprobs = draws.draw(logits, {0: np.array([False, False, True])})
    assert tokens == [2]
    assert logprobs == pytest.approx([np.log(0.1)])


def test_a_draw_at_the_very_end_is_the_last_token_that_weighs_anything():
    mass = np.zeros((2, 1024), dtype=np.float32)
    mass[0, [3, 5]] = 1.0
    mass[1, [700, 900]] = 0.1, 0.3
    assert _inverted(mass, np.array([1.0, 1.0])).tolist() == [5, 900]
    assert _inverted(mass, np.array([0.0, 0.0])).tolist() == [3, 700]
