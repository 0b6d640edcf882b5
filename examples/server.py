"""Search on a model behind an OpenAI-compatible server, here one started for the occasion.

The server is llama.cpp's with the bundled model, so that this runs offline; any other needs
only its address. Needs the extras `remote` and `llamacpp`, and `llama-cpp-python[server]`.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_qstar import ModelError, Policy, QStarChain, resolve_policy
from langchain_qstar.models.llamacpp.export import export_gguf
from langchain_qstar.models.resolve import NANO_FOLDER

QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does she have?"


def free_port() -> int:
    """A port on this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served(file: Path) -> Iterator[str]:
    """A server of the model in `file`, as the name of a policy."""
    port = free_port()
    options = f"--model_alias nano --n_ctx 512 --verbose false --port {port}".split()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(file), *options]
    with subprocess.Popen(command) as server:  # noqa: S603  # our own words
        try:
            yield f"openai:nano@http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def connect(name: str, seconds: float = 60) -> Policy:
    """The policy, once the server answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            return resolve_policy(name)
        except ModelError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def main() -> None:
    """Start a server, ask it, and see what it could not do."""
    with tempfile.TemporaryDirectory() as folder:
        file = export_gguf(NANO_FOLDER, Path(folder) / "nano.gguf")
        with served(file) as name:
            policy = connect(name)
            chain = QStarChain(policy, task="nano", settings={"max_pops": 6, "num_samples": 3})
            solution = chain.invoke(QUESTION)
            print(f"{policy.name}: {solution.answer}")
            print("fell short:", solution.usage.shortfalls)


if __name__ == "__main__":
    main()
