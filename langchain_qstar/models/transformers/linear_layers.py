"""Linear layers in float32 on a processor of AMD: through oneDNN instead of MKL.

MKL has no kernels of its own for such processors. oneDNN, which torch holds, too, has; and it
reads weights fastest when those of one input lie side by side, so they are laid out like that,
with no more memory. It pays most for some rows at a time, which is what a search decodes.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

_LEAST_WEIGHTS: Final = 2**19
"""Below it a call of oneDNN costs as much as it saves."""


class OneDNNLinear(nn.Linear):
    """A linear layer that multiplies by oneDNN whenever nothing is to be differentiated."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        """`input` float32 [..., in]; returns float32 [..., out]."""
        if torch.is_grad_enabled() or input.dtype is not torch.float32 or not input.numel():
            return super().forward(input)
        multiply: Any = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
        product: torch.Tensor = multiply(input, self.weight, self.bias, "none", [], "")
        return product


def use_onednn(model: nn.Module) -> None:
    """Let the large float32 layers of `model`, on the CPU, multiply by oneDNN where MKL is slow.

    Layers of other classes (quantised, of an adapter) stay as they are.
    """
    if not _mkl_is_slow():
        return
    # A subclass may compute anything.
    layers = [each for each in model.modules() if type(each) is nn.Linear]
    large = [each for each in layers if _is_large(each.weight)]
    for layer in large:
        layer.__class__ = OneDNNLinear
        # In place: an embedding may be the same parameter.
        layer.weight.data = layer.weight.data.t().contiguous().t()
    if large:
        _leave_file(model)


def _leave_file(model: nn.Module) -> None:
    """Copy what still lies in the mapped file of weights: one tensor keeps all of it in memory."""
    for parameter in model.parameters():
        if parameter.is_contiguous() and parameter.device.type == "cpu":
            parameter.data = parameter.data.clone()


def _is_large(weight: torch.Tensor) -> bool:
    return (
        weight.dtype is torch.float32
        and weight.device.type == "cpu"
        and weight.numel() >= _LEAST_WEIGHTS
    )


def _mkl_is_slow() -> bool:
    backends: Any = torch.backends  # its functions have no types
    return (
        backends.mkl.is_available()
        and backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and _maker() == "AuthenticAMD"
    )


@cache
def _maker() -> str:
    """The processor's maker in its own words, or an empty string."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "vendor_id":
            return value.strip()
    return "AuthenticAMD" if "AuthenticAMD" in platform.processor() else ""
