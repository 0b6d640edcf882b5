"""Tiny random models with the architectures and token conventions of public reward models."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the transformers extra")

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers import models as token_models
from transformers import PreTrainedTokenizerFast

from langchain_qstar.protocols import ScoreRequest, State, Step

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPECIAL = ["<|pad|>", "<|start|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 400,
    "initializer_range": 0.4,  # wide, so that values differ
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@pytest.fixture(scope="session")
def tokenizer():
    """Every byte is a token; so are `ки` and `<extra_0>`, as for the models that use them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(token_models.BPE({t: n for n, t in enumerate([*SPECIAL, *alphabet])}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=SPECIAL[0],
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        additional_special_tokens=SPECIAL[3:],
        chat_template=TEMPLATE,
    )
    fast.add_tokens(["ки", "<extra_0>"])
    return fast


@pytest.fixture(scope="session")
def tiny(tokenizer):
    """Makes a random model: `tiny(LlamaForCausalLM, LlamaConfig)`."""

    def make(kind, config, **options):
        torch.manual_seed(11)
        return kind(config(vocab_size=len(tokenizer), **SIZES, **options)).eval()

    return make


@pytest.fixture
def requests():
    """Two states of different depth with two candidates and one."""
    first = State("What is 2+3?", (("user", "What is 2+3?"),))
    later = first.then(Step("2+3=5\n"))
    return [
        ScoreRequest(first, (Step("2+3=5\n"), Step("2*3=6, I think\n"))),
        ScoreRequest(later, (Step("The answer is 5.\n"),)),
    ]
