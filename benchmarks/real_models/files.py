"""What is measured: models and their files, data, and the version of the product."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
DATA: Final = ROOT.parent / "shared" / "data"
"""Records of benchmarks, beside the checkout."""


class Known(NamedTuple):
    """A file of the hub that figures are recorded of."""

    repository: str
    file: str
    sha256: str


KNOWN: Final[dict[str, Known]] = {
    "qwen2.5-coder-0.5b": Known(
        "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
    "qwen2.5-coder-1.5b": Known(
        "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
}
FOLDER: Final = "QSTAR_MODELS"
"""The variable that names the folder of models."""


class AbsentError(Exception):
    """What is to be measured is not on this machine; the message says what to do."""


def short_name(policy: str) -> str:
    """What records and banks of a policy are called."""
    return policy if policy in KNOWN else Path(policy).name.removesuffix(".gguf")


def model_file(policy: str) -> Path:
    """The file of a policy: a name of `KNOWN`, a path, or `gguf:PATH`.

    Raises:
        AbsentError: It is not there, or a known name has other content.
    """
    known = KNOWN.get(policy)
    if known is None:
        file = Path(policy.removeprefix("gguf:")).expanduser()
        if not file.is_file():
            raise AbsentError(f"there is no file {file}; give a GGUF file or one of {[*KNOWN]}")
        return file
    place = f"{known.file} of {known.repository}"
    folder = os.environ.get(FOLDER)
    if not folder:
        raise AbsentError(f"{FOLDER} names no folder; set it to the one that holds {place}")
    file = Path(folder).expanduser() / known.file
    if not file.is_file():
        raise AbsentError(f"the folder of {FOLDER} has no {place}; download it there")
    found = sha256(file)
    if found != known.sha256:
        raise AbsentError(
            f"{known.file} has the SHA-256 {found[:12]}…, not {known.sha256[:12]}…; "
            f"download it again, or measure it as --policy gguf:{known.file}"
        )
    return file


@cache
def product_version() -> str:
    """The commit that last changed what the product does; empty outside a repository."""
    command = ["git", "log", "-1", "--format=%h", "--", "langchain_qstar", "prompts"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()


@cache
def sha256(file: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def told(policy: str, file: Path) -> dict[str, str]:
    """A model as records name it."""
    known = KNOWN.get(policy)
    return {
        "name": short_name(policy),
        "file": file.name,
        "repository": known.repository if known else "",
        "sha256": sha256(file),
    }


def records(name: str, count: int | None = None) -> list[dict[str, Any]]:
    """The first records of a benchmark's file, in file order; all by default.

    Raises:
        AbsentError: There is no such file.
    """
    file = DATA / f"{name}.jsonl"
    if not file.is_file():
        raise AbsentError(f"there is no {name}.jsonl in shared/data beside the checkout")
    with file.open(encoding="utf-8") as opened:
        return [json.loads(line) for line in islice(opened, count)]
