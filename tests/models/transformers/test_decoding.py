from __future__ import annotations

import math

import pytest
import torch

from langchain_qstar.models.engine.kv_tree import KVTree
from langchain_qstar.models.transformers.decoding import State, _note_logprobs
from langchain_qstar.models.transformers.forward import out_of_memory


def chain(state, *segments):
    tree = KVTree(0, lambda state, count: None)
    node = tree.extend((1,))
    node.state = state
    nodes = []
    for tokens in segments:
        node = tree.extend(tokens, node)
        nodes.append(node)
    return nodes


def test_the_first_token_is_scored_by_the_logits_before_it():
    nodes = chain(State(None, torch.tensor([0.0, math.log(3.0)])), (1, 0), (0,))
    _note_logprobs(nodes, [-1.0, -2.0])
    assert nodes[0].logprobs == pytest.approx((math.log(0.75), -1.0))
    assert nodes[1].logprobs == (-2.0,)


@pytest.mark.parametrize("state", [None, State(None)])
def test_without_them_only_what_comes_after_its_segment_is_known(state):
    nodes = chain(state, (1, 0), (0,))
    _note_logprobs(nodes, [-1.0, -2.0])
    assert nodes[0].logprobs is None
    assert nodes[1].logprobs == (-2.0,)


def test_scores_that_are_not_numbers_are_scores_or_they_would_be_read_for_ever():
    (node,) = chain(State(None, torch.full((2,), math.nan)), (1,))
    _note_logprobs([node], [])
    assert node.logprobs is not None
    assert math.isnan(node.logprobs[0])


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
        MemoryError("no"),
    ],
)
def test_memory_runs_out_in_one_way(error):
    with pytest.raises(MemoryError), out_of_memory():
        raise error


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shape"), out_of_memory():
        raise RuntimeError("a shape does not fit")
