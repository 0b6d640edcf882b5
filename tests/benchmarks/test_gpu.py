"""The benchmark of a GPU, on a tiny model: what it tells, and that it ends in time."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    """The script as a module, in a hurry."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module: Any = importlib.import_module("gpu")
    for name in ("TURNS", "STEPS", "CALLS", "FEWEST"):
        monkeypatch.setattr(module, name, 1)
    monkeypatch.setattr(module, "EXPANSIONS", {})
    return module


class Process:
    """A thread in place of a process; `kill` opens what it waits for."""

    killed = threading.Event()

    def __init__(self, target, args, *, daemon):
        sender, *rest = args
        own = Connection(os.dup(sender.fileno()))  # the other end is closed by who started it
        self.thread = threading.Thread(target=self.run, args=(target, own, rest), daemon=daemon)
        self.exitcode = 9

    @staticmethod
    def run(target, sender, rest):
        try:
            target(sender, *rest)
        except RuntimeError:
            sender.close()

    def start(self):
        self.killed.clear()
        self.thread.start()

    def kill(self):
        self.killed.set()

    def join(self):
        self.thread.join()


@pytest.fixture
def threads(gpu, monkeypatch):
    """Processes are threads, which start at once."""

    class Context:
        Pipe = staticmethod(multiprocessing.Pipe)
        Process = Process

    monkeypatch.setattr(gpu.multiprocessing, "get_context", lambda kind: Context)


def test_every_number_of_questions_has_its_figures(gpu):
    told = list(gpu.measure_shape(gpu.Work("tiny", "cpu", [1, 2]), time.time() + 1000))
    assert [(each.kind, each.questions) for each in told] == [
        ("device", 0),
        ("measured", 1),
        ("measured", 2),
    ]
    found = gpu.Found()
    for each in told:
        found.note("tiny", each)
    ways = ("engine_over_raw", "generate_over_engine", "tokens_per_second")
    assert set(found.figures) == {f"{way}_tiny_{count}" for way in ways for count in (1, 2)}
    assert all(value > 0 for value in found.figures.values())
    assert found.turns == {"tiny_1": 1, "tiny_2": 1}


def test_what_there_is_no_time_for_is_told_and_not_measured(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "_bench", lambda shape, device: None)
    _, told = gpu.measure_shape(gpu.Work("tiny", "cpu", [1]), time.time() - 1)
    assert (told.kind, told.reason, told.figures) == ("left out", "no time was left for it", {})


def test_what_does_not_fit_into_memory_is_told(gpu, monkeypatch):
    def part(bench, count, seconds):
        if count == 2:
            raise RuntimeError("the engine failed") from MemoryError("CUDA out of memory")
        return {"turns": 1}

    monkeypatch.setattr(gpu, "_bench", lambda shape, device: None)
    monkeypatch.setattr(gpu, "_part", part)
    told = list(gpu.measure_shape(gpu.Work("tiny", "cpu", [1, 2, 3]), time.time() + 1000))
    assert [each.kind for each in told] == ["device", "measured", "left out", "measured"]
    assert "does not fit into the memory" in told[2].reason


def test_without_a_gpu_nothing_is_measured(gpu, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = list(gpu.measure_shape(gpu.Work("0.5b", "cuda", [1, 16]), time.time() + 1000))
    assert [each.kind for each in told] == ["left out", "left out"]
    assert "torch finds no CUDA GPU" in told[0].reason


def test_a_shape_that_is_not_finished_in_time_is_ended_and_keeps_its_figures(gpu, threads):
    def measure(work, until):
        yield gpu.Told("measured", 1, {"engine_over_raw": 1.5, "turns": 2})
        Process.killed.wait()

    found = gpu.Found()
    gpu.watch_shape(found, gpu.Work("8b", "cuda", [1, 16]), 1.0, measure)
    assert found.figures == {"engine_over_raw_8b_1": 1.5}
    assert found.turns == {"8b_1": 2}
    assert found.left_out == {"8b_16": "it was not finished in the 1 s that were left for 8b"}


def test_a_process_that_dies_is_told_of(gpu, threads):
    def measure(work, until):
        yield gpu.Told("measured", 1, {"turns": 1})
        raise RuntimeError("an illegal address")

    found = gpu.Found()
    gpu.watch_shape(found, gpu.Work("8b", "cuda", [1, 16]), 60.0, measure)
    assert found.left_out == {"8b_16": "its process ended with status 9; see the error above"}


def test_time_that_a_shape_leaves_goes_to_the_next(gpu, monkeypatch):
    given = []
    monkeypatch.setattr(gpu.time, "monotonic", lambda: 0.0)
    monkeypatch.setattr(gpu, "watch_shape", lambda found, *args: given.append(args[-1]))
    gpu.watch_all(["0.5b", "8b"], "cuda", [1], 480.0)
    assert given == [240.0, 480.0]


def test_figures_of_a_gpu_are_recorded_with_what_they_are_of(gpu, monkeypatch, tmp_path, capsys):
    found = gpu.Found({"tokens_per_second_8b_1": 50.0}, {"8b_16": "no time"}, {"8b_1": 3})
    found.device = {"name": "H200", "gigabytes": 140.0, "cuda": "12.8"}
    monkeypatch.setattr(gpu, "watch_all", lambda *args: found)
    monkeypatch.setattr(gpu, "RESULT", tmp_path / "gpu.json")
    assert gpu.main(["--record"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "left out 8b_16: no time",
        "device: H200, 140 GB, CUDA 12.8",
        "tokens_per_second_8b_1: 50",
    ]
    document = gpu.read_record(tmp_path / "gpu.json")
    assert document["device"]["name"] == "H200"
    assert {"torch", "transformers"} <= document["versions"].keys()
    assert {"commit", "figures", "left_out", "turns"} <= document.keys()
    found.figures = {}
    assert gpu.main([]) == 1
    assert gpu.main(["--quick"]) == 0
    assert "recorded on H200" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seconds", "0"],
        ["--questions", "1,x"],
        ["--questions", "0"],
        ["--device", "cpu", "--record"],
    ],
)
def test_bad_usage_measures_nothing(gpu, arguments):
    with pytest.raises(SystemExit):
        gpu.main(arguments)


@pytest.mark.slow
def test_it_runs_on_a_cpu_from_end_to_end():
    arguments = "--device cpu --shape tiny --questions 1 --seconds 400".split()
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.partition(":")[0] for line in ended.stdout.splitlines()] == [
        "device",
        "engine_over_raw_tiny_1",
        "generate_over_engine_tiny_1",
        "tokens_per_second_tiny_1",
    ]
    assert "tiny, 1 at once: measured" in ended.stderr
