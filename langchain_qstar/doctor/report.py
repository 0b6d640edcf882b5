"""The doctor's report: everything found, what to do about it, and how it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final

from langchain_qstar.doctor.installed import (
    OURSELVES,
    Extra,
    LlamaCpp,
    base,
    extras,
    llama_cpp,
)
from langchain_qstar.doctor.machine import (
    Device,
    Machine,
    devices,
    has_nvidia_driver,
    this_machine,
)
from langchain_qstar.doctor.throughput import Throughput, measure
from langchain_qstar.models.llamacpp.building import CUDA_BUILD
from langchain_qstar.models.resolve import BUNDLED

EXPECTED_SHARE: Final = 0.7
"""Of the ceiling; an engine below this is held up by something."""

LITTLE_MEMORY: Final = 2 * 2**30
"""Free bytes below which the engine's default caches may not fit."""

_GIB: Final = 2**30
_PURPOSES: Final = {
    "transformers": "local models, and the bundled one",
    "llamacpp": "GGUF models by llama.cpp",
    "remote": "models behind servers",
    "checks": "symbolic checks and LaTeX answers",
    "sqlite": "searches that survive a kill",
    "postgres": "searches stored in a PostgreSQL database",
    "cli": "trees in the terminal",
    "peft": "adapters",
    "train": "training scorers",
}
"""What the extras are for; a new one may not be described yet."""

_PYTORCH: Final = "install the CUDA build of torch: see pytorch.org/get-started"
_NO_GPU: Final = (
    "llama.cpp is built with CUDA and finds no GPU: see nvidia-smi and CUDA_VISIBLE_DEVICES"
)
_NO_DRIVER: Final = (
    "llama.cpp is built with CUDA and there is no NVIDIA driver: install it, or run on the CPU"
)
_OFFLOAD: Final = f"for GPU layers build llama.cpp with CUDA: {CUDA_BUILD}"


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        version: Of this package.
        machine: Processor and memory.
        devices: Accelerators that torch can use.
        nvidia: Whether there is a driver for NVIDIA GPUs.
        base: What the package needs anyway.
        extras: What its extras need.
        llama_cpp: llama.cpp, if it is installed.
        bundled: Which of the bundled models are there.
        throughput: Speed of the bundled model; None when it was not measured.
    """

    version: str
    machine: Machine
    devices: tuple[Device, ...]
    nvidia: bool
    base: Extra
    extras: tuple[Extra, ...]
    llama_cpp: LlamaCpp | None
    bundled: dict[str, bool]
    throughput: Throughput | None = None

    @property
    def healthy(self) -> bool:
        """Whether the bundled model can answer questions here."""
        local = next((each for each in self.extras if each.name == "transformers"), None)
        ready = not self.base.missing and local is not None and not local.missing
        return ready and self.bundled["nano"]

    def advice(self) -> tuple[str, ...]:
        """What to do next, most urgent first, a line each; may be empty."""
        return tuple(_advice(self))

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON types."""
        found = asdict(self)
        if self.throughput is not None:
            found["throughput"]["share"] = self.throughput.share
        return found | {"healthy": self.healthy, "advice": list(self.advice())}


def examine(*, seconds: float = 10.0) -> Report:
    """Look at everything.

    Args:
        seconds: How long to measure throughput; 0 leaves it out.
    """
    report = Report(
        version=version(OURSELVES),
        machine=this_machine(),
        devices=devices(),
        nvidia=has_nvidia_driver(),
        base=base(),
        extras=extras(),
        llama_cpp=llama_cpp(),
        bundled={name: (folder / "config.json").is_file() for name, folder in BUNDLED.items()},
    )
    if seconds <= 0 or not report.healthy:
        return report
    return Report(**(vars(report) | {"throughput": measure(seconds)}))


def _advice(report: Report) -> Iterator[str]:
    if report.base.missing:
        yield f"install again, {', '.join(report.base.missing)} is missing: pip install -U ."
    if not all(report.bundled.values()):
        yield "a bundled model is missing: install langchain-qstar again"
    missing = [extra for extra in report.extras if extra.missing]
    for extra in sorted(missing, key=lambda each: each.name != "transformers"):
        purpose = _PURPOSES.get(extra.name, "not described")
        yield f"pip install 'langchain-qstar[{extra.name}]'  ({purpose})"
    if report.nvidia and not any(device.kind == "cuda" for device in report.devices):
        yield f"there is an NVIDIA GPU that torch does not use: {_PYTORCH}"
    if report.llama_cpp is not None:
        yield from _about_llama_cpp(report, report.llama_cpp)
    free = report.machine.free_memory
    if free is not None and free < LITTLE_MEMORY:
        yield "little memory is free: give policies a smaller cache_bytes"
    speed = report.throughput
    if speed is not None and speed.share < EXPECTED_SHARE:
        yield (
            f"the engine reaches {speed.share:.0%} of the ceiling, expected are "
            f"{EXPECTED_SHARE:.0%} or more: is the machine busy?"
        )


def _about_llama_cpp(report: Report, found: LlamaCpp) -> Iterator[str]:
    if found.offload is None:
        yield f"llama-cpp-python does not load ({found.fault}): install it again"
    elif found.has_cuda and not found.offload:
        yield _NO_GPU if report.nvidia else _NO_DRIVER
    elif not found.offload and (report.nvidia or report.devices):
        yield _OFFLOAD


def lines(report: Report) -> Iterator[str]:
    """The report as a person reads it."""
    machine = report.machine
    yield f"langchain-qstar {report.version}, Python {machine.python}, {machine.system}"
    yield (
        f"machine      {machine.processor}, {machine.cores} cores, "
        f"{_size(machine.memory)} memory, {_size(machine.free_memory)} free"
    )
    unused = "an NVIDIA GPU that torch does not use" if report.nvidia else "no accelerator"
    for device in report.devices or (Device("none", f"{unused}; the CPU is used"),):
        memory = f", {_size(device.memory)}, {_size(device.free_memory)} free"
        yield f"device       {device.name}{memory if device.memory else ''}"
    for extra in (report.base, *report.extras):
        versions = ", ".join(f"{name} {number}" for name, number in extra.versions.items())
        facts = [*(f"no {name}" for name in extra.missing), *([versions] if versions else [])]
        yield f"{extra.name or 'base':<12} {', '.join(facts)}"
    yield f"llama.cpp    {_llama_cpp(report.llama_cpp)}"
    there = ", ".join(name if here else f"no {name}" for name, here in report.bundled.items())
    yield f"bundled      {there}"
    yield f"throughput   {_speed(report.throughput)}"
    for number, each in enumerate(report.advice()):
        yield f"{'next' if not number else '':<12} {each}"


def _llama_cpp(found: LlamaCpp | None) -> str:
    if found is None:
        return "not installed"
    if found.offload is None:
        return f"{found.version}, does not load: {found.fault}"
    built = f"{found.version}, built for {', '.join(found.backends) or 'an unknown device'}"
    if found.has_cuda and not found.offload:
        return f"{built}, finds no GPU"
    return f"{built}, {'can' if found.offload else 'cannot'} put layers on a GPU"


def _speed(found: Throughput | None) -> str:
    if found is None:
        return "not measured"
    return (
        f"{found.engine:.0f} tokens/s of the bundled model, {found.rows} rows on {found.device}: "
        f"{found.share:.0%} of the bare model's {found.ceiling:.0f}"
    )


def _size(count: int | None) -> str:
    return "unknown" if count is None else f"{count / _GIB:.1f} GiB"
