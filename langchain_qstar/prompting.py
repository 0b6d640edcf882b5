"""Prompt files: plain text with `{{name}}` holes, filled once.

A value is never scanned for holes, so a question that contains `{{steps}}` or
braces is safe. The holes of a file are checked when it is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from langchain_qstar.errors import PromptError

_HOLE: Final = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A loaded prompt: its file's name, its text, and the names of its holes."""

    name: str
    text: str
    holes: frozenset[str]

    def fill(self, **values: str) -> str:
        """The text with every hole replaced by its value.

        Raises:
            PromptError: A value is missing, or names no hole.
        """
        _agree(self.name, self.holes, values)
        return _HOLE.sub(lambda hole: values[hole.group(1)], self.text)


def load_prompt(name: str, holes: Iterable[str], folder: Path | str | None = None) -> Prompt:
    """Load `NAME.txt` and check that it has exactly these holes.

    Args:
        name: File name without its ending.
        holes: The values that will be filled in.
        folder: Where to look; by default the package's own prompts, which lie
            inside the installed package, or beside it in a checkout.

    Raises:
        PromptError: The file is missing or not UTF-8, or a hole is unknown or
            missing; the message names the file and the hole.
    """
    path = _file(name, folder)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"cannot read the prompt file {path}: {error}") from error
    found = frozenset(_HOLE.findall(text))
    _agree(str(path), found, holes)
    return Prompt(path.name, text.removesuffix("\n"), found)


def has_prompt(name: str, folder: Path | str | None = None) -> bool:
    """Whether there is a file `NAME.txt` for `load_prompt`."""
    return _file(name, folder).is_file()


def _file(name: str, folder: Path | str | None) -> Path:
    return (_own_folder() if folder is None else Path(folder)) / f"{name}.txt"


def _own_folder() -> Path:
    package = Path(__file__).parent
    inside = package / "prompts"
    return inside if inside.is_dir() else package.parent / "prompts"


def _agree(where: str, holes: frozenset[str], values: Iterable[str]) -> None:
    given = set(values)
    for name in sorted(holes - given):
        raise PromptError(f"{where}: nothing fills the hole {{{{{name}}}}}")
    for name in sorted(given - holes):
        raise PromptError(f"{where}: there is no hole {{{{{name}}}}}")
