from __future__ import annotations

import builtins
import time

import pytest

from langchain_qstar.doctor import throughput
from langchain_qstar.doctor.throughput import Throughput, measure
from langchain_qstar.errors import MissingExtraError


@pytest.mark.nano
def test_the_bundled_model_is_measured_against_its_ceiling(monkeypatch):
    import torch

    monkeypatch.setattr(throughput, "NEW_TOKENS", 8)
    monkeypatch.setattr(throughput, "STEPS", 4)
    threads = torch.get_num_threads()
    found = measure(0)
    assert found.rows == 96 or found.device != "cpu"
    assert found.engine > 0
    assert found.ceiling > 0
    assert torch.get_num_threads() == threads


def test_the_share_is_that_of_the_ceiling():
    assert Throughput("cpu", 96, 50.0, 200.0, 1.0).share == 0.25


def test_both_take_turns_until_the_time_is_up(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(throughput, "_timed", lambda work, device: (work(), 2.0))
    done = []

    def work(name, tokens):
        def turn():
            done.append(name)
            return tokens

        return turn

    works = work("a", 10), work("b", 20)
    assert throughput._in_turns(works, "cpu", until=2) == (5.0, 10.0)
    assert done == ["a", "b"] * 4  # once to warm up, then three turns


def test_without_torch_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args):
        if name == "torch":
            raise ImportError("no torch", name="torch")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"langchain-qstar\[transformers\]"):
        measure(0)
