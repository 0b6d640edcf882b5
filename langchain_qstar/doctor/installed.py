"""What is installed: the extras of this package with what they need, and llama.cpp's abilities."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from typing import Final

from packaging.requirements import Requirement

OURSELVES: Final = "langchain-qstar"
"""The name of this package where packages are installed."""

_EVERYTHING: Final = "all"


@dataclass(frozen=True, slots=True)
class Extra:
    """An extra of this package.

    Attributes:
        name: As in `pip install 'langchain-qstar[NAME]'`.
        versions: What it needs and is there, with its version.
        missing: What it needs and is not there, or too old or new.
    """

    name: str
    versions: dict[str, str]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LlamaCpp:
    """llama-cpp-python as it is installed.

    Attributes:
        version: Of the package.
        offload: Whether it can put layers on a GPU that is here; None when it does not load.
        fault: Why it does not load, if it does not.
        backends: What it was built for, by llama.cpp's own names: `CPU`, `CUDA`, `Metal`.
    """

    version: str
    offload: bool | None
    fault: str = ""
    backends: tuple[str, ...] = ()

    @property
    def has_cuda(self) -> bool:
        """Whether it was built for NVIDIA's GPUs, of which none may be here."""
        return "CUDA" in self.backends


def base() -> Extra:
    """What the package needs without any extra."""
    return _extra("")


def extras() -> tuple[Extra, ...]:
    """All extras but `all`, in alphabetical order."""
    names = metadata(OURSELVES).get_all("Provides-Extra") or []
    return tuple(_extra(name) for name in sorted(names) if name != _EVERYTHING)


def llama_cpp() -> LlamaCpp | None:
    """llama-cpp-python, or None where it is not installed."""
    if find_spec("llama_cpp") is None:
        return None
    found = _version("llama-cpp-python") or "unknown"
    try:
        from llama_cpp import llama_print_system_info, llama_supports_gpu_offload

        # `CPU : SSE3 = 1 | AVX = 1 | `, after a stretch of the same kind for each other backend.
        backends = tuple(re.findall(r"(\w+) : ", llama_print_system_info().decode()))
        return LlamaCpp(found, bool(llama_supports_gpu_offload()), backends=backends)
    except (ImportError, OSError, RuntimeError) as error:  # a build for another machine
        return LlamaCpp(found, None, str(error).splitlines()[0] if str(error) else "unknown")


def _extra(name: str) -> Extra:
    versions: dict[str, str] = {}
    missing: list[str] = []
    for requirement in _requirements(name):
        found = _version(requirement.name)
        if found is not None and requirement.specifier.contains(found, prereleases=True):
            versions[requirement.name] = found
        else:
            missing.append(f"{requirement.name}{requirement.specifier}")
    return Extra(name, versions, tuple(missing))


def _requirements(extra: str) -> Iterator[Requirement]:
    """What the extra adds to the package's own needs; for the empty name these."""
    for line in requires(OURSELVES) or []:
        requirement = Requirement(line)
        always = _is_wanted(requirement, "")
        wanted = always if not extra else not always and _is_wanted(requirement, extra)
        if wanted and requirement.name != OURSELVES:
            yield requirement


def _is_wanted(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
