"""Figures written down with all that is needed to repeat them, and printed."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[2]


def provenance(script: Path, packages: Sequence[str], read: Sequence[Path] = ()) -> dict[str, Any]:
    """Where figures come from: command, date, commit, versions, and what was read.

    Args:
        script: The benchmark that measures; the commit is that of its repository,
            or empty outside one.
        packages: Installed distributions whose versions matter.
        read: Files whose SHA-256 matters, such as weights and data.
    """
    git = ["git", "-C", str(script.resolve().parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603
    return {
        "command": " ".join(["python", f"benchmarks/{script.name}", *sys.argv[1:]]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "sha256": digests(read),
    }


def digests(files: Sequence[Path]) -> dict[str, str]:
    """The SHA-256 of each file, by its place in the repository.

    Of a file outside only its name and its folder's are told, not where the machine has it.
    """
    return {_place(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _place(path: Path) -> str:
    full = path.resolve()
    inside = full.is_relative_to(_ROOT)
    return full.relative_to(_ROOT if inside else full.parents[1]).as_posix()


def work_folder(script: Path, read: Sequence[Path]) -> Path:
    """Where the benchmark `script` keeps what it goes on with when it was stopped.

    It is another folder for other weights, so that no figure mixes two models.
    """
    key = json.dumps(digests(read), sort_keys=True).encode()
    folder = script.resolve().parent.parent / "build" / script.stem
    return folder / hashlib.sha256(key).hexdigest()[:12]


def write_record(path: Path, document: Mapping[str, Any]) -> None:
    """Write JSON that diffs well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_record(path: Path) -> dict[str, Any]:
    """What `write_record` wrote."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as they are recorded: to four decimals, what is no fraction as it is."""
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in figures.items()
    }


def print_figures(figures: Mapping[str, Any]) -> None:
    """`figure: value` on standard output, a line each, at most four digits."""
    for name, value in figures.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        sys.stdout.write(f"{name}: {shown}\n")


def tell(text: str) -> None:
    """Progress, on standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
