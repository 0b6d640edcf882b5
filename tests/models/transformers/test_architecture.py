"""Every kind of architecture against a plain forward pass of the same tokens, tiny and random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.transformers.policy import TransformersPolicy
from langchain_qstar.models.transformers.tree_rows import TreeRows
from langchain_qstar.protocols import Step

SIZE: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 0,
}
WINDOW: dict[str, Any] = {"sliding_window": 12}
LINEAR: dict[str, Any] = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
KINDS: dict[str, tuple[dict[str, Any], bool]] = {
    "Llama": ({}, True),
    "Qwen2": ({}, True),
    "Qwen3": ({}, True),
    "Mistral": ({"sliding_window": None}, True),
    "Phi3": ({"sliding_window": None}, True),
    "Gemma": ({}, True),
    "GPTNeoX": ({}, True),
    "Mistral-sliding": (WINDOW, False),
    "Phi3-sliding": (WINDOW, False),
    "Gemma2": (WINDOW | {"query_pre_attn_scalar": 8}, False),
    "Gemma3Text": (
        WINDOW
        | {
            "query_pre_attn_scalar": 8,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        False,
    ),
    "Lfm2": ({"layer_types": ["conv", "full_attention"], "block_multiple_of": 8}, False),
    "Qwen3Next": (LINEAR | EXPERTS, False),
    "Bloom": ({"n_layer": 2, "n_head": 4}, False),
}


def build(kind):
    options, _ = KINDS[kind]
    family = kind.partition("-")[0]
    config = getattr(transformers, f"{family}Config")(**SIZE | options)
    torch.manual_seed(5)
    name = "Gemma3ForCausalLM" if family == "Gemma3Text" else f"{family}ForCausalLM"
    return getattr(transformers, name)(config).eval()


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind):
    return build(kind)


@pytest.fixture
def policy(model, make_tokenizer):
    made = TransformersPolicy(model, make_tokenizer(), name="kind")
    yield made
    made.close()


def plain(model, ids, layers=()):
    with torch.no_grad():
        output = model(torch.tensor([list(ids)]), output_hidden_states=bool(layers))
    hidden = [output.hidden_states[layer][0, -1].numpy() for layer in layers]
    return output.logits[0].log_softmax(-1), np.concatenate(hidden) if hidden else None


def test_tree_attention_is_used_where_it_is_right(kind, policy):
    assert (type(policy._backend._branches) is TreeRows) == KINDS[kind][1]


def test_what_is_sampled_scored_and_shown_agrees_with_a_plain_pass(model, policy, ask):
    policy.feature_layers = (1, 2)
    requests = [
        ask("Who?", n=3, stop=("e", "t"), max_tokens=20),
        ask("A much longer question than that one", n=2, stop=("a",), max_tokens=25),
        ask("B", n=1, stop=(), max_tokens=3),
    ]
    for _ in range(2):  # the second round continues what the first one drew
        states = []
        for request, group in zip(requests, policy.sample(requests), strict=True):
            for completion in group:
                step = Step(completion.text, token_ids=completion.token_ids)
                states.append((request.state, step))
                context = policy.path_ids(request.state)
                assert step.token_ids is not None
                logprobs, _ = plain(model, (*context, *step.token_ids))
                expected = logprobs[len(context) - 1 : -1].gather(
                    1, torch.tensor(step.token_ids)[:, None]
                )
                np.testing.assert_allclose(completion.logprobs, expected[:, 0].numpy(), atol=2e-3)
        after = [state.then(step) for state, step in states]
        for state, hidden in zip(after, policy.features(after), strict=True):
            _, expected_hidden = plain(model, policy.path_ids(state), (1, 2))
            np.testing.assert_allclose(hidden, expected_hidden, atol=5e-3, rtol=1e-3)
        given = [Step("so be it"), Step("x")]
        scored = policy.token_logprobs([after[0]] * 2, given)
        for step, values in zip(given, scored, strict=True):
            context = policy.path_ids(after[0])
            ids = policy.path_ids(after[0].then(step))[len(context) :]
            logprobs, _ = plain(model, (*context, *ids))
            expected = logprobs[len(context) - 1 : -1].gather(1, torch.tensor(ids)[:, None])
            np.testing.assert_allclose(values, expected[:, 0].numpy(), atol=2e-3)
        requests = [
            type(request)(state, request.seeds, stop=request.stop, max_tokens=request.max_tokens)
            for request, state in zip(requests, after, strict=False)
        ]


def test_the_same_seed_gives_the_same_tokens_alone_and_among_others(policy, ask):
    request = ask("Who?", n=3, stop=("e",), max_tokens=24)
    others = [ask("y" * length, n=2, first=50, max_tokens=4 + length) for length in range(1, 9)]
    alone = policy.sample([request])[0]
    among = policy.sample([*others[:4], request, *others[4:]])[4]
    assert [c.token_ids for c in among] == [c.token_ids for c in alone]


def test_an_encoder_is_refused_in_one_line(make_tokenizer):
    config = transformers.BertConfig(
        vocab_size=259,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    with pytest.raises(ModelSpecError, match="BertModel cannot be used") as caught:
        TransformersPolicy(transformers.BertModel(config), make_tokenizer())
    assert "\n" not in str(caught.value)
