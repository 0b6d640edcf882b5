"""Worker processes: one gradient for all, and none outlives the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the transformers extra")

import torch

from langchain_qstar.training.workers import Workers, run_together


def average_once(workers: Workers, folder: Path) -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([1.0, 3.0]) * (1 + 2 * workers.rank)
    tokens = workers.average([parameter], tokens=10 + workers.rank)
    (folder / str(workers.rank)).write_text(f"{parameter.grad.tolist()} {tokens}")


def test_every_worker_gets_the_mean_gradient_and_the_sum_of_tokens(tmp_path: Path) -> None:
    run_together(average_once, 2, tmp_path)
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["[2.0, 6.0] 21"] * 2


def test_alone_a_gradient_stays_as_it_is() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.tensor([5.0])
    assert Workers().average([parameter], tokens=7) == 7
    assert parameter.grad.tolist() == [5.0]
    assert Workers().gather("alone") == ["alone"]


def fail_second(workers: Workers) -> None:
    if workers.rank == 1:
        raise ValueError("the second worker fails")
    workers.gather(None)


def test_a_worker_that_fails_fails_the_run() -> None:
    with pytest.raises(Exception, match=r"second worker fails|terminated|Connection"):
        run_together(fail_second, 2)


ENDLESS = """
import os, sys, time
from pathlib import Path
from langchain_qstar.training.workers import run_together

def wait(workers, folder):
    (Path(folder) / f"pid{workers.rank}").write_text(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    run_together(wait, 2, sys.argv[1])
"""


def test_no_worker_outlives_a_run_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    run = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    files = [tmp_path / "pid0", tmp_path / "pid1"]
    try:
        assert eventually(lambda: all(each.exists() and each.read_text() for each in files))
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert eventually(lambda: not any(alive(int(each.read_text())) for each in files))


def eventually(holds: object, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
