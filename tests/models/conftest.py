"""A tiny random Llama, and a model that says what it is told, both with a byte-level tokenizer."""

from __future__ import annotations

import numpy as np
import pytest

from langchain_qstar.models.engine.policy import LocalPolicy
from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.models.engine.translation import Limits
from langchain_qstar.models.transformers.policy import TransformersPolicy
from langchain_qstar.protocols import SampleRequest, State


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory, llama, make_tokenizer):
    """The tiny Llama and its tokenizer, in a folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    llama.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_gguf(tiny_folder):
    """The same as a GGUF file, in float32."""
    pytest.importorskip("gguf", reason="needs the extra llamacpp")
    from langchain_qstar.models.llamacpp.export import export_gguf

    return export_gguf(tiny_folder, tiny_folder.parent / "tiny.gguf")


@pytest.fixture(scope="session")
def nano_gguf(tmp_path_factory):
    """The bundled model as a GGUF file, in float32."""
    pytest.importorskip("gguf", reason="needs the extra llamacpp")
    from langchain_qstar.models.llamacpp.export import export_gguf
    from langchain_qstar.models.resolve import NANO_FOLDER

    return export_gguf(NANO_FOLDER, tmp_path_factory.mktemp("models") / "nano.gguf")


@pytest.fixture
def llamacpp(tiny_gguf):
    """Makes policies that run the tiny model on llama.cpp."""
    pytest.importorskip("llama_cpp", reason="needs the extra llamacpp")
    from langchain_qstar.models.llamacpp.policy import LlamaCppPolicy

    made = []

    def make(file=tiny_gguf, **options):
        made.append(LlamaCppPolicy(file, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def policy(llama, make_tokenizer):
    made = TransformersPolicy(llama, make_tokenizer(), name="tiny")
    yield made
    made.close()


class SayingBackend:
    """Continues every path with `tokens`, one after the other, whatever it reads.

    A state is the number of tokens it stands for; what is read and how many
    branches run in each step is noted.
    """

    def __init__(self, tokens: list[int], vocabulary: int, *, parts=True) -> None:
        self.tokens = tokens
        self.vocabulary = vocabulary
        self.layers: tuple[int, ...] = ()
        self.parts = parts
        self.said: list[int] = []
        self.recorded: dict[int, tuple[int, ...]] = {}
        self.reads: list[list[tuple[int, ...]]] = []
        self.steps: list[int] = []
        self.capacity = 10**6
        self.crowded = False
        self.before_forward = lambda: None

    def prepare(self):
        pass

    def split(self, state, count):
        return (count, state - count) if self.parts else None

    def can_start(self, state):
        return state is not None

    def next_logprobs(self, state, tokens):
        return [-float(state)] * len(tokens)

    def hidden(self, state, layers):
        recorded = state is not None and self.recorded.get(state) == layers
        return np.full(2, state, dtype=np.float32) if recorded else None

    def read(self, chains, *, scored):
        self.before_forward()
        for chain in chains:
            parent = chain[0].parent
            assert parent is not None
            assert all(node.state is not None for node in parent.path())
        self._check(sum(len(node.tokens) for chain in chains for node in chain))
        self.reads.append([node.tokens for chain in chains for node in chain])
        if scored:
            for node in (node for chain in chains for node in chain):
                node.logprobs = tuple(-float(token) for token in node.tokens)
        sizes = [[len(node.tokens) for node in chain] for chain in chains]
        self.recorded |= {size: self.layers for chain in sizes for size in chain}
        return [[(size, size) for size in chain] for chain in sizes]

    def _check(self, size):
        if size > self.capacity:
            raise MemoryError(f"{size} of {self.capacity}")

    def join(self, starts):
        for start in starts:
            assert all(node.state is not None for node in start.leaf.path())
            self.said += [0] * len(start.samplings)

    def draw(self, allowed):
        drawn = [self.tokens[said % len(self.tokens)] for said in self.said]
        return drawn, [-0.5] * len(drawn)

    def likeliest(self, counts):
        return {
            number: tuple((self.tokens[at], -0.5 - at) for at in range(count))
            for number, count in counts.items()
        }

    def advance(self, tokens):
        self.before_forward()
        assert len(tokens) == len(self.said)
        self._check(len(tokens))
        self.steps.append(len(tokens))
        self.said = [said + 1 for said in self.said]

    def take(self, number):
        return self.said[number], self.said[number]

    def keep(self, numbers):
        self.said = [self.said[number] for number in numbers]

    def reset(self):
        self.said = []


@pytest.fixture
def saying_backend():
    return SayingBackend


@pytest.fixture
def saying(make_tokenizer):
    """A policy whose model says the given pieces, each of which is one token."""
    made = []

    def make(*pieces: str, merged=(), window=64, thinking=None, **options):
        tokenizer = make_tokenizer(*merged, thinks=thinking is not None)
        tokens = [token for piece in pieces for token in tokenizer.encode(piece)]
        backend = SayingBackend(tokens, len(tokenizer))
        limits = Limits(window=window, depth=2, **options)
        codec = TextCodec(tokenizer)
        made.append(
            LocalPolicy(
                backend,
                codec,
                [tokenizer.eos_token_id],
                limits,
                name="saying",
                thinking=bool(thinking),
            )
        )
        return made[-1], backend

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
