"""The machine: its processor, its memory and its accelerators, as far as anyone tells.

What cannot be found out is None; nothing here raises for it.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_CGROUP_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """The computer without its accelerators; memory in bytes."""

    system: str
    python: str
    processor: str
    cores: int
    memory: int | None
    free_memory: int | None


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator that torch can use; memory in bytes."""

    kind: str
    name: str
    memory: int | None = None
    free_memory: int | None = None


def this_machine() -> Machine:
    """What the operating system says."""
    memory, limit = _pages("SC_PHYS_PAGES"), _container_limit()
    return Machine(
        system=platform.platform(terse=True),
        python=platform.python_version(),
        processor=platform.processor() or platform.machine(),
        cores=_usable_cores(),
        memory=min(memory, limit) if memory and limit else memory,
        free_memory=_pages("SC_AVPHYS_PAGES"),
    )


def devices() -> tuple[Device, ...]:
    """The accelerators that the installed torch finds."""
    if find_spec("torch") is None:
        return ()
    import torch

    found = [_cuda(number) for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU"))
    return tuple(found)


def has_nvidia_driver() -> bool:
    """Whether there is an NVIDIA GPU, whatever torch was built for."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def _cuda(number: int) -> Device:
    import torch

    free, whole = torch.cuda.mem_get_info(number)
    return Device("cuda", torch.cuda.get_device_name(number), whole, free)


def _usable_cores() -> int:
    """Cores that this process may use, which in a container are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pages(name: str) -> int | None:
    """Memory in bytes that the system counts in pages."""
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _container_limit() -> int | None:
    for file in _CGROUP_LIMITS:
        try:
            return int(file.read_text())
        except (OSError, ValueError):  # there is none, or it says `max`
            continue
    return None
