"""A tiny random Llama, and a model that says what it is told, both with a byte-level tokenizer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers import models as token_models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from langchain_qstar.models.transformers import TransformersPolicy
from langchain_qstar.protocols import SampleRequest, State

TEMPLATE = "{% for m in messages %}<|user|>\n{{ m['content'] }}\n{% endfor %}<|assistant|>\n"
SPECIAL = ("<|end|>", "<|user|>", "<|assistant|>")


@pytest.fixture(scope="session")
def make_tokenizer():
    """Every byte is a token, and so is each of the `merged` texts (two characters each)."""

    def make(*merged: str, template: str | None = TEMPLATE):
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        spelled = [level.pre_tokenize_str(text)[0][0] for text in merged]
        pairs = [(text[0], text[1]) for text in spelled]
        tokens = [*SPECIAL, *alphabet, *("".join(pair) for pair in pairs)]
        tokenizer = Tokenizer(token_models.BPE({token: n for n, token in enumerate(tokens)}, pairs))
        tokenizer.pre_tokenizer = level
        tokenizer.decoder = decoders.ByteLevel()
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            eos_token=SPECIAL[0],
            additional_special_tokens=list(SPECIAL[1:]),
            chat_template=template,
        )

    return make


@pytest.fixture(scope="session")
def llama():
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(SPECIAL) + 256,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=160,
        eos_token_id=0,
        bos_token_id=None,
        initializer_range=0.3,  # wide, so that tokens differ clearly in probability
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def policy(llama, make_tokenizer):
    made = TransformersPolicy(llama, make_tokenizer(), name="tiny")
    yield made
    made.close()


class SayingModel(torch.nn.Module):
    """Continues every prompt with `tokens`, one after the other, whatever it reads."""

    def __init__(self, tokens: list[int], vocabulary: int) -> None:
        super().__init__()
        self.config = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            max_position_embeddings=64,
        )
        self.generation_config = SimpleNamespace(eos_token_id=None)
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.tokens = tokens
        self.batches: list[int] = []
        self.before_forward = lambda: None

    def forward(self, input_ids, attention_mask, position_ids, **_):
        self.before_forward()
        self.batches.append(len(input_ids))
        if input_ids.shape[1] > 1:
            self.said = 0
        logits = torch.zeros(*input_ids.shape, self.config.vocab_size)
        logits[..., self.tokens[self.said % len(self.tokens)]] = 50.0
        self.said += 1
        return SimpleNamespace(logits=logits, hidden_states=None)


@pytest.fixture
def saying(make_tokenizer):
    """A policy whose model says the given pieces, each of which is one token."""
    made = []

    def make(*pieces: str, merged: tuple[str, ...] = ()):
        tokenizer = make_tokenizer(*merged)
        tokens = [token for piece in pieces for token in tokenizer.encode(piece)]
        model = SayingModel(tokens, len(tokenizer))
        made.append(TransformersPolicy(model, tokenizer, name="saying"))
        return made[-1], model

    yield make
    for one in made:
        one.close()


@pytest.fixture
def ask():
    """A request to continue a question, with the seeds 0, 1, and so on."""

    def make(question="Who?", *, n=1, first=0, steps=(), **options):
        state = State(question, (("user", question),), tuple(steps))
        return SampleRequest(state, tuple(range(first, first + n)), **options)

    return make
