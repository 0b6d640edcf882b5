# ruff: noqa: T201  # what it prints is read by the test
"""What a forked process can do with what its parent made; prints a line a case."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from langchain_qstar import QStarChain, RemotePolicy, SelfConsistencyChain, resolve_policy
from langchain_qstar.errors import QStarError

QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does she have?"
SECONDS = 60.0


def forked(call: Callable[[], Any]) -> str:
    """What `call` comes to in a process that is forked here."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = repr(call())
        except QStarError as error:
            told = f"{type(error).__name__}: {error}"
        except BaseException as error:  # noqa: BLE001  # it is told, and fails the test
            told = f"FAULT {error!r}"
        os.write(write, told.encode())
        os._exit(0)
    os.close(write)
    until = time.monotonic() + SECONDS
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > until:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return "HANGS"
        time.sleep(0.02)
    told = os.read(read, 65536).decode()
    os.close(read)
    return told


def solves(policy: Any) -> Callable[[], str | None]:
    chain = QStarChain(policy, settings={"num_trajectories": 1, "max_pops": 10}, task="gsm8k")
    return lambda: chain.invoke(QUESTION).answer


def main() -> None:
    if sys.argv[1] == "local":
        model = sys.argv[2]
        used = solves(resolve_policy(model))
        before = used()
        print("parent:", before)
        print("ran:", forked(used))
        print("made anew:", forked(lambda: solves(resolve_policy(model))()))  # noqa: PLW0108  # loaded there
        print("parent again:", used() == before)
    else:
        policy = RemotePolicy.connect("m", sys.argv[2])
        chain = SelfConsistencyChain(policy, n=2, task="gsm8k")
        print("parent:", chain.invoke(QUESTION).answer)
        print("ran:", forked(lambda: chain.invoke(QUESTION).answer))
        print("parent again:", chain.invoke(QUESTION).answer)


if __name__ == "__main__":
    main()
