"""Processes that share every training step: each its own batch, one gradient for all.

One thread a process. On a CPU this uses the cores better than one process of
many threads, whose short operations each end at a barrier.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class Workers:
    """The processes of a run, as seen from one of them; alone it changes nothing."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        """Name this process: number `rank` of `size`."""
        self.rank, self.size = rank, size

    def average(self, parameters: Iterable[torch.nn.Parameter], tokens: int) -> int:
        """Average all gradients over the workers, in place.

        Args:
            parameters: The model's, in the same order everywhere; each has a gradient.
            tokens: How many tokens this worker has read in this step.

        Returns:
            How many tokens all workers have read.
        """
        import torch

        if self.size == 1:
            return tokens
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients] + [torch.tensor([float(tokens)])])
        torch.distributed.all_reduce(flat)
        parts = torch.split(flat[:-1] / self.size, [g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return int(flat[-1])

    def gather(self, value: Any) -> list[Any]:
        """Every worker's `value`, by rank. All must call it."""
        import torch

        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(values, value)
        return values


def run_together(work: Callable[..., None], size: int, *arguments: Any) -> None:
    """Call `work(workers, *arguments)` in `size` processes and wait for them.

    Args:
        work: A function of a module, so that it can be pickled.
        size: How many; one stays in this process.
        *arguments: Anything that can be pickled.

    Raises:
        torch.multiprocessing.ProcessRaisedException: A worker raised; all were ended.
    """
    if size == 1:
        work(Workers(), *arguments)
        return
    from torch.multiprocessing.spawn import spawn

    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        spawn(  # type: ignore[no-untyped-call]
            _join, args=(size, meeting, work, arguments), nprocs=size
        )


def _join(
    rank: int, size: int, meeting: str, work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    import torch

    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
    try:
        work(Workers(rank, size), *arguments)
    finally:
        torch.distributed.destroy_process_group()


def _end_with_parent() -> None:
    """A run that was killed leaves no worker behind that goes on writing its folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
