"""How fast the bundled model runs under the engine, and how much of the ceiling that is.

The ceiling is that of `benchmarks/engine.py`: the bare model's forward pass on a
full batch, with a static cache and without sampling. Both take turns until the
time is up, so that what else the machine does hits both. On a CPU the seconds are
those of the process, which other work does not lengthen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from langchain_qstar.errors import MissingExtraError
from langchain_qstar.models.resolve import NANO_FOLDER
from langchain_qstar.problems.generator import make_problems
from langchain_qstar.protocols import SampleRequest, State
from langchain_qstar.tasks import get_task

if TYPE_CHECKING:
    from langchain_qstar.models.transformers.policy import TransformersPolicy

CHILDREN: Final = 6
"""Samples of a state, as in a search."""

NEW_TOKENS: Final = 48
"""Tokens of a sample; the bundled model's solutions are longer, so every row runs to here."""

STEPS: Final = 24
"""Forward passes of the bare model in one turn."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Speeds in tokens per second, of the process on a CPU and of the clock on a GPU.

    Attributes:
        device: Where the model ran.
        rows: Completions that ran at once.
        engine: Speed of sampling under the engine.
        ceiling: Speed of the bare model's forward pass.
        seconds: What the measurement took.
    """

    device: str
    rows: int
    engine: float
    ceiling: float
    seconds: float

    @property
    def share(self) -> float:
        """The engine's part of the ceiling."""
        return self.engine / self.ceiling


def measure(seconds: float = 10.0) -> Throughput:
    """Run the bundled model for so many seconds.

    Args:
        seconds: How long; one turn of each at least.

    Raises:
        MissingExtraError: The extra `transformers` is not installed.
        ModelSpecError: The bundled model is missing or damaged.
    """
    started = time.perf_counter()
    try:
        import torch

        from langchain_qstar.models.transformers.loading import default_device, load
        from langchain_qstar.models.transformers.policy import TransformersPolicy
    except ImportError as error:
        raise MissingExtraError(error.name or "transformers", "transformers") from error
    device = default_device()
    policy = TransformersPolicy(*load(NANO_FOLDER), name="nano")
    # The policy changes the attention of its model; the ceiling needs one as it is.
    bare, _ = load(NANO_FOLDER)
    rows = policy.full_rows // CHILDREN * CHILDREN
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)  # as the engine has it for a model of this size
    try:
        requests = _Requests(policy, rows)
        works = requests.draw, _bare_decoding(bare, rows, requests.context)
        engine, ceiling = _in_turns(works, device, until=started + seconds)
    finally:
        policy.close()
        torch.set_num_threads(threads)
    return Throughput(device, rows, engine, ceiling, time.perf_counter() - started)


def _in_turns(
    works: tuple[Callable[[], int], ...], device: str, *, until: float
) -> tuple[float, ...]:
    """Tokens per second of each of `works`, a turn of which returns its tokens."""
    for work in works:
        work()  # the first time is not like the others: prompts are read, memory is taken
    counts, times = [0] * len(works), [0.0] * len(works)
    while True:
        for number, work in enumerate(works):
            count, spent = _timed(work, device)
            counts[number] += count
            times[number] += spent
        if time.perf_counter() >= until:
            return tuple(count / spent for count, spent in zip(counts, times, strict=True))


class _Requests:
    """Batches of samples of the same questions, each with seeds of its own."""

    def __init__(self, policy: TransformersPolicy, rows: int) -> None:
        problems = make_problems("dev", rows // CHILDREN)
        messages = get_task("nano").messages
        self._states = [State(each.question, messages(each.question)) for each in problems]
        self._policy = policy
        self._seed = 0
        lengths = [len(policy.path_ids(state)) for state in self._states]
        self.context = sum(lengths) // len(lengths) + NEW_TOKENS // 2

    def draw(self) -> int:
        """Draw one batch; how many tokens it generated."""
        seeds = tuple(range(self._seed, self._seed + CHILDREN))
        self._seed += CHILDREN
        groups = self._policy.sample(
            [SampleRequest(each, seeds, stop=(), max_tokens=NEW_TOKENS) for each in self._states]
        )
        return sum(completion.generated for group in groups for completion in group)


def _bare_decoding(model: Any, rows: int, context: int) -> Callable[[], int]:
    """`STEPS` forward passes of a full batch at this length of context; how many tokens."""
    import torch
    from transformers import StaticCache

    config, device = model.config, model.device
    heads = config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    ids = torch.ones((rows, 1), dtype=torch.int64, device=device)

    @torch.inference_mode()
    def decode() -> int:
        cache = StaticCache(config=config, max_cache_len=context + STEPS)
        cache.early_initialization(rows, heads, size, model.dtype, device)
        for layer in cache.layers:
            layer.cumulative_length.fill_(context)  # type: ignore[union-attr]
        for _ in range(STEPS):
            model(input_ids=ids, past_key_values=cache, use_cache=True)
        return rows * STEPS

    return decode


def _timed(work: Callable[[], int], device: str) -> tuple[int, float]:
    """What `work` returns, and its seconds."""
    if device == "cpu":
        start = time.process_time()
        return work(), time.process_time() - start
    import torch

    torch.cuda.synchronize() if device == "cuda" else torch.mps.synchronize()
    start = time.perf_counter()
    count = work()
    torch.cuda.synchronize() if device == "cuda" else torch.mps.synchronize()
    return count, time.perf_counter() - start
