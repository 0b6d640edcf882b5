"""Rows of the engine beside bare rows, on a model so small that the figures mean nothing."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def part(monkeypatch):
    """A module of the parts of `engine.py`, with contexts of 20 tokens that small models know."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name):
        rows = import_module("engine_parts.rows")
        module = import_module(f"engine_parts.{name}")
        for each in (rows, module):
            for constant, value in {"CONTEXT": 20, "FIRST": 7, "TOKENS": 2, "KINDS": 50}.items():
                if hasattr(each, constant):
                    monkeypatch.setattr(each, constant, value)
        return module

    yield load
    for name in [each for each in sys.modules if each.startswith("engine_parts")]:
        del sys.modules[name]


def test_contexts_are_held_and_not_read(part, policy):
    module = part("transformers_rows")
    rows = import_module("engine_parts.rows")
    made = rows.Rows(policy, lambda prompts: module._hold(policy, prompts))
    read = policy.counters.prefilled
    assert made.seconds(3) > 0
    assert policy.counters.prefilled == read + 3  # the last token of each
    made.seconds(2)
    assert policy.counters.prefilled == read + 3


def test_rows_of_transformers_stand_beside_bare_ones(part, llama, make_tokenizer):
    figures = part("transformers_rows").measure(llama, make_tokenizer(), (2, 3), 1)
    assert set(figures) == {
        f"transformers_{name}_{count}"
        for name in ("over_raw", "row_tokens_per_second")
        for count in (2, 3)
    }
    assert min(figures.values()) > 0


def test_rows_of_llama_cpp_stand_beside_bare_ones_in_both_kinds_of_memory(part, tiny_gguf):
    pytest.importorskip("llama_cpp", reason="needs the extra llamacpp")
    module = part("llamacpp_rows")
    figures = module.measure(tiny_gguf, (2, 3), 1)
    assert {"engine_over_raw_3", "shared_over_raw_3", "row_tokens_per_second_3"} <= set(figures)
    assert figures["engine_over_raw_2"] > 0
    assert "memory_over_weights" in figures
