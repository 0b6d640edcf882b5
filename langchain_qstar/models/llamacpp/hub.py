"""Where the GGUF file lies that a user names: on disk, or on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from langchain_qstar.errors import MissingExtraError, ModelSpecError

_PART: Final = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_HUB: Final = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+):(?P<file>[^:]+\.gguf)")


def gguf_file(place: str, revision: str | None = None) -> Path:
    """The file of a place, fetched from the hub if it is there and not here.

    Args:
        place: A path, or `ORG/NAME:FILE` on the hub. Of a model in several files it
            is the first one; the others are fetched with it.
        revision: Branch, tag or commit on the hub.

    Raises:
        ModelSpecError: There is no such file, here or there.
        MissingExtraError: huggingface_hub is not installed.
    """
    try:
        path = Path(place).expanduser()
        if path.is_file():
            return path.resolve()
    except (OSError, RuntimeError):  # too long a name, or the home of nobody
        pass
    named = _HUB.fullmatch(place)
    if named is None:
        raise ModelSpecError(
            f'policy="gguf:{place:.200}": there is no such file; write gguf:FILE, or '
            "gguf:ORG/NAME:FILE for one on the Hugging Face hub"
        )
    first, *_ = [_fetched(named["repo"], each, revision) for each in _all_parts(named["file"])]
    return first


def _all_parts(file: str) -> list[str]:
    """The names of all parts of a model whose first part is `file`; mostly itself."""
    part = _PART.search(file)
    if part is None:
        return [file]
    stem, count = file[: part.start()], int(part[2])
    return [f"{stem}-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1)]


def _fetched(repo: str, file: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "llamacpp") from error
    try:
        return Path(hf_hub_download(repo, file, revision=revision))
    except Exception as error:
        # The hub's client raises its own errors, those of HTTP and of the disk.
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelSpecError(f"cannot fetch {file} of {repo} from the hub: {reason}") from error
