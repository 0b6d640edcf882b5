"""The engine on one GPU: beside raw decoding, beside `generate`, and how much memory it takes.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --seconds 480 --record
    python benchmarks/gpu.py --device cpu --shape tiny --questions 1,2 --seconds 60

Random weights of the shapes of a model of 0.5B and one of 8B, in 16 bits: nothing is
downloaded, and torch and transformers are all that is needed beside this repository. The work
is that of `benchmarks/engine.py`: questions with a prompt of 600 tokens, 520 of them shared,
and expansions of 6 children of 8 to 60 tokens, all scripted. With Q questions at once:

engine_over_raw_SHAPE_Q      seconds of our search over those of the model's forward pass on a full
                             batch of 6 Q rows in a static cache, nothing drawn, distinct prompt
                             tokens read once
generate_over_engine_SHAPE_Q seconds of `generate(num_return_sequences=6)`, a call an expansion,
                             over those of our search
tokens_per_second_SHAPE_Q    of our search
gigabytes_SHAPE_Q            most memory that torch had allocated during our search, weights
                             included (10^9 bytes)
raw_gigabytes_SHAPE_Q        the same during raw decoding
weights_gigabytes_SHAPE      of the weights alone

Raw decoding and `generate` are timed on a part of the work and scaled up; the ways take turns,
and figures are medians over as many turns as there is time for.

`--seconds` is kept: what is left of it is divided among the shapes that are left, and in a shape
among the numbers of questions. Each shape runs in a process of its own, which is ended when its
time is. What was not measured is told, with the reason, and no figure stands for it. Without a
GPU `--quick` prints what is recorded, if anything is.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from langchain_qstar.evaluation.recording import (
    print_figures,
    provenance,
    read_record,
    tell,
    write_record,
)

if TYPE_CHECKING:  # torch is for the processes that measure, whose start is timed
    from engine import Bench, Script

RESULT: Final = Path(__file__).parent / "results" / "gpu.json"
SECONDS: Final = 480.0
QUICK_SECONDS: Final = 50.0
QUESTIONS: Final = (1, 16, 64)
SHAPES: Final = ("0.5b", "8b")

TURNS: Final = 3
"""Most turns; more time than these take goes to the parts that follow."""

STEPS: Final = 20
"""Forward passes by which raw decoding is timed."""

CALLS: Final = 2
"""Calls of `generate` by which it is timed."""

EXPANSIONS: Final = {1: 8, 16: 8}
FEWEST: Final = 4
"""Expansions of a question, where there are other numbers of them, or no time for so many."""

SEARCHING: Final = 0.4
"""The part of a part's time that one search may take, by what a single expansion took."""

MORE_SHAPES: Final[dict[str, dict[str, Any]]] = {
    "tiny": {
        "vocab_size": 256,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    },
}
"""Beside those of `engine.py`, for tests."""

Kind: TypeAlias = Literal["device", "weights", "measured", "left out"]


@dataclass(frozen=True)
class Told:
    """What a process that measures tells: of its device, or of a number of questions."""

    kind: Kind
    questions: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass
class Found:
    """All that was measured, and why the rest was not."""

    figures: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)

    def note(self, shape: str, told: Told) -> None:
        """Keep what was told of a shape."""
        part = f"{shape}_{told.questions}"
        if told.kind == "device":
            self.device = told.figures
        elif told.kind == "weights":
            self.figures |= {f"{name}_{shape}": value for name, value in told.figures.items()}
        elif told.kind == "left out":
            self.left_out[part] = told.reason
        else:
            self.turns[part] = int(told.figures.pop("turns"))
            self.figures |= {f"{name}_{part}": value for name, value in told.figures.items()}


@dataclass(frozen=True)
class Work:
    """What is measured of one shape.

    Attributes:
        shape: A name of `engine.SHAPES` or `MORE_SHAPES`.
        device: `cuda` or `cpu`.
        questions: How many at once, a part for each.
    """

    shape: str
    device: str
    questions: Sequence[int]


def measure_shape(work: Work, until: float) -> Iterator[Told]:
    """Measure one shape in this process, until `time.time` says `until`."""
    import torch

    device, questions = work.device, work.questions
    if device == "cuda" and not torch.cuda.is_available():
        reason = "torch finds no CUDA GPU; run it where one is, with a CUDA build of torch"
        yield from (Told("left out", count, reason=reason) for count in questions)
        return
    torch.set_num_threads(1)
    yield Told("device", figures=_device(device))
    try:
        bench = _bench(work.shape, device)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        reason = "the weights do not fit into the memory of the device"
        yield from (Told("left out", count, reason=reason) for count in questions)
        return
    if device == "cuda":
        yield Told("weights", figures={"weights_gigabytes": torch.cuda.memory_allocated() / 1e9})
    for number, count in enumerate(questions):
        left = (until - time.time()) / (len(questions) - number)
        if left <= 0:
            yield Told("left out", count, reason="no time was left for it")
            continue
        try:
            yield Told("measured", count, _part(bench, count, left))
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            yield Told("left out", count, reason="it does not fit into the memory of the device")
            torch.cuda.empty_cache()


def _device(device: str) -> dict[str, Any]:
    import torch

    if device != "cuda":
        return {"name": "CPU, one thread"}
    told = torch.cuda.get_device_properties(0)
    return {"name": told.name, "gigabytes": told.total_memory / 1e9, "cuda": torch.version.cuda}


def _bench(shape: str, device: str) -> Bench:
    import engine
    import torch

    engine.SHAPES.update({k: v for k, v in MORE_SHAPES.items() if k not in engine.SHAPES})
    usual = torch.get_default_dtype()
    if device == "cuda":  # made in 32 bits first, 8B would not fit into many a GPU that runs it
        torch.set_default_dtype(torch.bfloat16)
    try:
        bench = engine.Bench(shape, device)
    finally:
        torch.set_default_dtype(usual)
    first = engine.make_scripts(1, 1, bench.vocabulary)
    bench.search(first)  # imports, kernels, first touches
    bench.together(first, 1)
    return bench


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether it is that, or was raised for it."""
    cause: BaseException | None = error
    while cause is not None:
        if "out of memory" in str(cause).lower():
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _part(bench: Bench, questions: int, seconds: float) -> dict[str, Any]:
    """The figures of so many questions at once: medians over the turns that there is time for."""
    from engine import make_scripts

    until = time.monotonic() + seconds
    started = time.monotonic()
    bench.search(make_scripts(questions, 1, bench.vocabulary))
    each = time.monotonic() - started
    most = EXPANSIONS.get(questions, FEWEST)
    expansions = max(1, min(most, int(SEARCHING * seconds / each)))
    scripts = make_scripts(questions, expansions, bench.vocabulary)
    turns: list[dict[str, float]] = []
    last = 0.0
    while not turns or (len(turns) < TURNS and time.monotonic() + last < until):
        started = time.monotonic()
        turns.append(_turn(bench, scripts))
        last = time.monotonic() - started
    medians = {name: median(turn[name] for turn in turns) for name in turns[0]}
    return {**medians, "turns": len(turns)}


def _turn(bench: Bench, scripts: Sequence[Script]) -> dict[str, float]:
    raw, raw_bytes = _with_peak(bench, lambda: bench.ceiling(scripts, STEPS))
    (search, _), peak = _with_peak(bench, lambda: bench.search(scripts))
    generate = bench.together(scripts, CALLS)
    tokens = sum(sum(each.lengths) for script in scripts for each in script.expansions)
    found = {
        "engine_over_raw": search / raw,
        "generate_over_engine": generate / search,
        "tokens_per_second": tokens / search,
    }
    if bench.device != "cpu":
        found |= {"gigabytes": peak / 1e9, "raw_gigabytes": raw_bytes / 1e9}
    return found


def _with_peak(bench: Bench, work: Callable[[], Any]) -> tuple[Any, int]:
    """What `work` returns, and most bytes of the device that were allocated meanwhile."""
    import torch

    if bench.device == "cpu":
        return work(), 0
    torch.cuda.reset_peak_memory_stats()
    result = work()
    return result, torch.cuda.max_memory_allocated()


Measure: TypeAlias = Callable[[Work, float], Iterator[Told]]


def _tell_all(sender: Connection, measure: Measure, work: Work, until: float) -> None:
    """Measure in a process of its own."""
    for told in measure(work, until):
        sender.send(told)
    sender.close()


def watch_shape(found: Found, work: Work, seconds: float, measure: Measure = measure_shape) -> None:
    """Have one shape measured by a process that is ended when its time is up.

    Args:
        found: Where everything is noted.
        work: What to measure.
        seconds: From now on, the start of the process included.
        measure: What the process does; it is found there by its name.
    """
    spawning = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    receiver, sender = spawning.Pipe(duplex=False)
    until = time.time() + seconds
    process = spawning.Process(target=_tell_all, args=(sender, measure, work, until), daemon=True)
    process.start()
    sender.close()
    shape, waiting = work.shape, list(work.questions)
    reason = f"it was not finished in the {seconds:.0f} s that were left for {shape}"
    while waiting and receiver.poll(max(0.0, until - time.time())):
        try:
            told: Told = receiver.recv()
        except EOFError:
            process.join()
            reason = f"its process ended with status {process.exitcode}; see the error above"
            break
        found.note(shape, told)
        if told.questions in waiting:
            waiting.remove(told.questions)
            tell(f"{shape}, {told.questions} at once: {told.reason or 'measured'}")
    process.kill()  # all that it had to say is said, or nobody waits for it any more
    process.join()
    for count in waiting:
        found.note(shape, Told("left out", count, reason=reason))


def watch_all(
    shapes: Sequence[str], device: str, questions: Sequence[int], seconds: float
) -> Found:
    """Measure every shape, each in its share of the time that is left."""
    until = time.monotonic() + seconds
    found = Found()
    for number, shape in enumerate(shapes):
        left = until - time.monotonic()
        watch_shape(found, Work(shape, device, questions), left / (len(shapes) - number))
    return found


def _counts(text: str) -> list[int]:
    try:
        counts = [int(each) for each in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: write numbers of questions, such as 1,16,64")
    return counts


def _limit(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: write more than 0 seconds")
    return seconds


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the engine on one GPU")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--seconds", type=_limit, default=SECONDS, help=f"most of them in all; default: {SECONDS:g}"
    )
    size.add_argument(
        "--quick",
        action="store_const",
        const=QUICK_SECONDS,
        dest="seconds",
        help=f"{QUICK_SECONDS:g} s; without a GPU the recorded figures",
    )
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument(
        "--shape", action="append", choices=["tiny", "30m", *SHAPES], help="default: 0.5b and 8b"
    )
    parser.add_argument(
        "--questions",
        type=_counts,
        default=list(QUESTIONS),
        help="at once; default: 1,16,64",
    )
    parser.add_argument("--record", action="store_true", help="write them to results/gpu.json")
    options = parser.parse_args(arguments)
    if options.record and options.device != "cuda":
        parser.error("--record is for figures of a GPU")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, record if asked, and print; 1 when nothing could be measured."""
    options = _options(arguments)
    # First, so that what is missing for a record does not end a run that has measured.
    origin = provenance(Path(__file__), ["torch", "transformers"])
    shapes = options.shape or list(SHAPES)
    found = watch_all(shapes, options.device, options.questions, options.seconds)
    for part, reason in found.left_out.items():
        print(f"left out {part}: {reason}")
    if not found.figures:
        return _nothing(quick=options.seconds == QUICK_SECONDS)
    told = ", ".join(
        f"{value:.0f} GB" if name == "gigabytes" else f"CUDA {value}" if name == "cuda" else value
        for name, value in found.device.items()
    )
    print(f"device: {told}")
    if options.record:
        write_record(RESULT, origin | vars(found))
    print_figures(found.figures)
    return 0


def _nothing(*, quick: bool) -> int:
    """What ends a run without figures: those of another day, if they are asked for."""
    if not quick:
        return 1
    if RESULT.is_file():
        document = read_record(RESULT)
        print(f"recorded on {document['device']['name']}, {document['date']}:")
        print_figures(document["figures"])
    else:
        print("no figures of a GPU are recorded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
