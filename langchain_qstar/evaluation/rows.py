"""JSON lines that are added to while a benchmark runs, so that it can go on after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file that is still written to; none if there is no file.

    A last line without its end was torn by a kill and is cut off the file, so that what is
    added next begins on a line of its own.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    # Not `splitlines` of text: models write other ends of lines, and JSON keeps them as they are.
    return [json.loads(line) for line in whole.splitlines()]


def add_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows at the end of a file, which a power cut may lose but a kill does not."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as opened:
        opened.write("".join(lines))
