"""A caller's model is given back as it was."""

from __future__ import annotations

import copy
import gc

import pytest
import torch

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.transformers.policy import TransformersPolicy


@pytest.fixture
def model(llama):
    return copy.deepcopy(llama).train()


def state(model):
    return model.training, model.config._attn_implementation


def test_a_closed_policy_leaves_a_model_as_it_found_it(model, make_tokenizer):
    before, weights = state(model), {k: v.clone() for k, v in model.state_dict().items()}
    policy = TransformersPolicy(model, make_tokenizer(template=None))
    assert not model.training
    assert state(model) != before
    policy.close()
    policy.close()
    assert state(model) == before
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    loss = model(input_ids=torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]])).loss
    loss.backward()
    assert all(each.grad is not None for each in model.parameters())


def test_of_two_policies_the_last_one_gives_the_model_back(model, make_tokenizer):
    before = state(model)
    first, second = (TransformersPolicy(model, make_tokenizer(template=None)) for _ in "ab")
    first.close()
    assert state(model) != before
    second.close()
    assert state(model) == before


def test_a_policy_that_is_forgotten_gives_it_back_too(model, make_tokenizer):
    before = state(model)
    policy = TransformersPolicy(model, make_tokenizer(template=None))
    del policy
    gc.collect()
    assert state(model) == before


def test_a_model_that_cannot_be_used_is_left_alone(model, make_tokenizer):
    odd = model.model  # without the layer that makes logits
    with pytest.raises(ModelSpecError):
        TransformersPolicy(odd, make_tokenizer(template=None))
    assert odd.training
