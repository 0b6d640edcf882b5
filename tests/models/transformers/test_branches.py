"""Branches that come, go and become paths of others, in any order, against plain passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_qstar.models.transformers.branches import Branches
from langchain_qstar.models.transformers.forked_rows import ForkedRows
from langchain_qstar.models.transformers.forward import CausalModel, Chain, Fork
from langchain_qstar.models.transformers.tree_attention import NAME
from langchain_qstar.models.transformers.tree_rows import Shape, TreeRows

SIZE: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.4,
    "pad_token_id": 0,
}


@dataclass
class Path:
    """Segments that were read: all ids, and what is kept of each segment."""

    ids: list[int] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)


def llama():
    torch.manual_seed(1)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZE)).eval()


def sliding():
    torch.manual_seed(2)
    kinds = ["sliding_attention", "full_attention"]
    options = SIZE | {"layer_types": kinds, "sliding_window": 6, "query_pre_attn_scalar": 8}
    return transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**options)).eval()


def tree_of(model):
    model.set_attn_implementation(NAME)
    return TreeRows(CausalModel(model), Shape(2, 2, 8, 8, torch.float32))


HOLDERS = {
    "tree": (llama, tree_of),
    "forked": (llama, lambda model: ForkedRows(CausalModel(model))),
    "forked-sliding": (sliding, lambda model: ForkedRows(CausalModel(model))),
    "one token at a time": (sliding, lambda model: ForkedRows(CausalModel(model), continues=False)),
}


@pytest.fixture(scope="module", params=list(HOLDERS))
def holder(request):
    build, hold = HOLDERS[request.param]
    model = build()
    return model, hold(model)


token = st.integers(1, 39)
segment = st.lists(token, min_size=1, max_size=9)
forks = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 3), st.integers(1, 20)), min_size=1, max_size=3
)
operation = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 9), st.lists(segment, min_size=1, max_size=3)),
    st.tuples(st.just("join"), forks, st.none()),
    st.tuples(st.just("advance"), st.integers(1, 4), st.integers(0, 10**6)),
    st.tuples(st.just("keep"), st.integers(0, 2**9 - 1), st.none()),
    st.tuples(st.just("take"), st.integers(0, 9), st.none()),
)


class Replay:
    """Does every operation on a holder, and knows what each branch has read."""

    def __init__(self, model: Any, branches: Branches) -> None:
        self.model = model
        self.branches = branches
        self.paths: list[Path] = []
        self.running: list[tuple[Path, list[int]]] = []

    def plain(self, ids):
        return self.model(torch.tensor([ids])).logits[0, -1]

    def read(self, number, segments):
        below = self.paths[number % len(self.paths)] if self.paths else Path()
        chain = Chain(below.kept, len(below.ids), segments)
        (reading,) = self.branches.read([chain], scored=False)
        path = Path([*below.ids], [*below.kept])
        for tokens, found in zip(segments, reading.segments, strict=True):
            path = Path([*path.ids, *tokens], [*path.kept, found.kept])
            torch.testing.assert_close(found.logits, self.plain(path.ids), atol=1e-3, rtol=1e-3)
            self.paths.append(path)

    def join(self, wanted, _):
        if self.paths:
            chosen = [(self.paths[n % len(self.paths)], count, limit) for n, count, limit in wanted]
            self.branches.join([Fork(p.kept, len(p.ids), c, limit) for p, c, limit in chosen])
            self.running += [(path, []) for path, count, _ in chosen for _ in range(count)]

    def advance(self, steps, seed):
        for step in range(steps if self.running else 0):
            tokens = [1 + (seed + 7 * step + 13 * n) % 39 for n in range(len(self.running))]
            logits = self.branches.advance(tokens).logits
            for (path, drawn), read, found in zip(self.running, tokens, logits, strict=True):
                drawn.append(read)
                expected = self.plain([*path.ids, *drawn])
                torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)

    def keep(self, mask, _):
        kept = [n for n in range(len(self.running)) if mask >> n & 1]
        self.branches.keep(kept)
        self.running = [self.running[n] for n in kept]

    def take(self, number, _):
        if self.running:
            path, drawn = self.running[number % len(self.running)]
            if drawn:
                kept = self.branches.take(number % len(self.running))
                assert self.branches.size_of(kept) > 0
                self.paths.append(Path([*path.ids, *drawn], [*path.kept, kept]))


@settings(max_examples=12)
@given(operations=st.lists(operation, min_size=3, max_size=14))
def test_every_branch_reads_what_a_plain_pass_reads(holder, operations):
    model, branches = holder
    replay = Replay(model, branches)
    with torch.inference_mode():
        replay.read(0, [[5, 6, 7], [8, 9]])
        for name, first, second in operations:
            getattr(replay, name)(first, second)
        replay.join([(0, 2, 3), (1, 1, 9)], None)
        replay.advance(2, 3)
    branches.reset()
    assert not branches.bytes


def test_the_parts_of_a_segment_are_what_reading_them_gives(holder):
    _, branches = holder
    with torch.inference_mode():
        (whole,) = branches.read([Chain([], 0, [[5, 6, 7, 8]])], scored=False)
        parts = branches.split(whole.segments[0].kept, 3)
        if parts is None:  # a sliding window cannot go back
            return
        (apart,) = branches.read([Chain([], 0, [[5, 6, 7], [8]])], scored=False)
    for part, segment in zip(parts, apart.segments, strict=True):
        assert branches.size_of(part) == branches.size_of(segment.kept)
