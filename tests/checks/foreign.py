"""What `test_worker` lets the other process run: everything that foreign text can lead to."""

from __future__ import annotations

import os
import time
from pathlib import Path


def warm_up() -> None:
    pass


def upper(text: str) -> str:
    return text.upper()


def process(_: str) -> int:
    return os.getpid()


def parent(_: str) -> int:
    return os.getppid()


def environment(_: str) -> list[str]:
    return sorted(os.environ)


def wait(text: str) -> str:
    time.sleep(float(text))
    return text


def power(text: str) -> int:
    return len(str(9**9 ** int(text)))


def fill(_: str) -> int:
    return len("x" * (1 << 40))


def deepen(text: str) -> str:
    return deepen(text)


def lengthen(_: str) -> str:
    return "x" * (1 << 21)


def fail(text: str) -> str:
    raise ValueError(text)


def leave(_: str) -> str:
    os._exit(3)


def write(text: str) -> str:
    Path(text).write_text("x" * 100)
    return text
