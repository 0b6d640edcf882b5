"""`gunicorn --preload`: the model is loaded before the workers are forked, and each searches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

httpx = pytest.importorskip("httpx", reason="needs the extra remote")
for needed in ("gunicorn", "fastapi"):
    pytest.importorskip(needed, reason=f"{needed} is not installed: group test")

EXAMPLES = Path(__file__).parents[3] / "examples"
PATIENCE = 120
QUESTIONS = [f"Ann has {boxes} boxes with 4 pens each. How many pens?" for boxes in range(3, 9)]

pytestmark = [
    pytest.mark.nano,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]


@pytest.fixture
def connect() -> Iterator[Callable[[], Any]]:
    # A socket's path has 107 bytes at most, and pytest's own folders are long.
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "web"
        argv = [sys.executable, "-m", "gunicorn", "--chdir", str(EXAMPLES), "--preload"]
        argv += ["--workers", "2", "--worker-class", "asgi", "--bind", f"unix:{socket}"]
        argv += ["--no-control-socket", "--log-level", "error", "--timeout", "60"]
        with subprocess.Popen([*argv, "web_app:app"], start_new_session=True) as server:
            try:
                end = time.monotonic() + PATIENCE
                while not socket.exists() and time.monotonic() < end:
                    time.sleep(0.1)
                yield lambda: httpx.Client(
                    transport=httpx.HTTPTransport(uds=str(socket)),
                    base_url="http://web",
                    timeout=PATIENCE,
                )
            finally:
                os.killpg(server.pid, signal.SIGKILL)


def all_solved(client: Any, questions: Sequence[str]) -> bool:
    def solve(question: str) -> Any:
        reply = client.post("/solve", json={"question": question, "seconds": 2})
        assert reply.status_code == 200, reply.text
        return reply.json()

    with ThreadPoolExecutor(len(questions)) as clients:
        return all(each["tokens"] > 0 for each in clients.map(solve, questions))


def test_each_worker_searches_and_one_that_is_killed_is_replaced(connect):
    workers: set[int] = set()
    with connect() as client:
        assert all_solved(client, QUESTIONS)
    while len(workers) < 2:
        with connect() as client:  # of a connection that is kept one worker reads all
            assert all_solved(client, QUESTIONS[:1])
            workers.add(client.get("/counts").json()["process"])
    os.kill(min(workers), signal.SIGKILL)
    with connect() as client:
        assert all_solved(client, QUESTIONS)
