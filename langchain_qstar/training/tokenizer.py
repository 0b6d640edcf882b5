"""nano's tokenizer: byte-level BPE whose merges were learnt on words alone.

Digits and operators therefore stay single tokens. Each word counts once a
document: a word invented for one story gets no token of its own, and every
word of the lexicon does, so that a thing is one piece wherever it stands.
The pre-tokenizer is GPT-2's, which other runtimes know too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_qstar.training.documents import make_document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<|assistant|>\n{{ message['content'] }}"
    "{% if not loop.last %}<|end|>\n{% endif %}"
    "{% else %}<|user|>\n{{ message['content'] }}\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
_FIRST_SEED = 10**9
"""Documents the merges are learnt on; training uses seeds from 0 up."""
_WORD = re.compile(r" ?[A-Za-z]+|[^\w\s+*/=-]+")


def train_tokenizer(vocabulary: int = 2304, documents: int = 6000) -> PreTrainedTokenizerFast:
    """Learn the merges on `documents` training documents and add the chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, USER, ASSISTANT, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(documents), trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


def _texts(documents: int) -> list[str]:
    texts = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + documents):
        document = make_document(seed)
        words = _WORD.findall(f"{document.question}\n{document.completion}")
        texts.append("\n".join(sorted(set(words))))
    return texts


def save_tokenizer(folder: Path, vocabulary: int) -> PreTrainedTokenizerFast:
    """Train the tokenizer and write it to `folder` in Hugging Face format."""
    tokenizer = train_tokenizer(vocabulary)
    tokenizer.save_pretrained(folder)
    return tokenizer
