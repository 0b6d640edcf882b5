"""How much memory this process may still take, as far as Linux tells.

llama.cpp touches the whole of a cache when it makes one. Where that is too much no
allocation fails: the system ends a process instead.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

MEMINFO: Final = Path("/proc/meminfo")
GROUP: Final = Path("/sys/fs/cgroup")
"""Limits of the container, if there is one."""


def free_memory(meminfo: Path = MEMINFO, group: Path = GROUP) -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    found = [each for each in (_available(meminfo), _left_to(group)) if each is not None]
    return min(found, default=None)


def _available(meminfo: Path) -> int | None:
    with suppress(OSError, ValueError):
        for line in meminfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return 1024 * int(value.split()[0])
    return None


def _left_to(group: Path) -> int | None:
    """What the limit of a control group leaves; pages of files give way."""
    with suppress(OSError, ValueError):
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            used = int((group / "memory.current").read_text())
            counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            return max(0, int(limit) - used + int(counts.get("inactive_file", 0)))
    return None
