"""Thousands of questions in one process, many at a time, some given up: does anything grow?

    python benchmarks/endurance.py --quick
    python benchmarks/endurance.py --full --record

The bundled model searches by Q* and by rStar, 64 questions at a time on one event loop; each is
given up at a random moment with a chance of a quarter, and every third is stored in sqlite and
forgotten. Steps are checked symbolically in a process of their own. What the process holds is
looked at whenever 64 questions have ended. Figures, printed last; the first half, in which caches
fill, is left out of the last four:

questions, given_up   how many, and how many of them were cancelled before they ended
errors                what ended in any other way
rss_mb                memory of the process at the end, in MiB
growth_mb             MiB a thousand questions, the slope of a line through all looks
descriptors           of files, sockets and pipes: most minus fewest
threads               most minus fewest
files                 in the folder for temporary files: most minus fewest
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from statistics import linear_regression
from typing import Any, Final

from langchain_qstar import QStarChain, RStarChain, TransformersPolicy, aopen_checkpoints
from langchain_qstar.evaluation.recording import (
    print_figures,
    provenance,
    rounded,
    tell,
    write_record,
)
from langchain_qstar.models.resolve import NANO_FOLDER

RESULTS: Final = Path(__file__).parent / "results" / "endurance.json"
PACKAGES: Final = ("langchain-qstar", "torch", "transformers", "langgraph", "sympy")
FULL: Final = 2000
QUICK: Final = 128
AT_ONCE: Final = 64
GIVEN_UP: Final = 0.25
MOST_SECONDS: Final = 2.0
"""After which a question is given up at the latest, if it is."""
CACHE_BYTES: Final = 2**24
"""Of keys and values, so small that it is full before the first half is over."""
MIB: Final = 2**20

Look = tuple[int, int, int, int]
"""Bytes, descriptors, threads, temporary files."""


def looked(folder: Path) -> Look:
    """What this process holds now. Linux only."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return (
        pages * os.sysconf("SC_PAGE_SIZE"),
        sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threading.active_count(),
        sum(len(files) for _, _, files in os.walk(folder)),
    )


async def endured(count: int, seed: int, folder: Path) -> tuple[list[Look], int, int]:
    """Looks after every `AT_ONCE` questions, how many were given up, and what else went wrong."""
    draws = random.Random(seed)  # no secret
    policy = TransformersPolicy.from_pretrained(
        NANO_FOLDER, name="nano", device="cpu", threads=1, cache_bytes=CACHE_BYTES
    )
    checked: Any = {"checks": ["arithmetic", "symbolic"], "task": "nano"}
    searched: Any = {"max_pops": 4, "num_samples": 3}
    rolled: Any = {"num_rollouts": 2, "num_votes": 2, "num_last_votes": 2}
    looks, ended, given_up, errors = [looked(folder)], 0, 0, 0
    async with aopen_checkpoints(folder / "searches.sqlite") as store:
        chains = (
            QStarChain(policy, "nano", settings=searched, **checked),
            RStarChain(policy, settings=rolled, **checked),
            QStarChain(policy, "nano", settings=searched, checkpointer=store, **checked),
        )
        room = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            nonlocal ended, given_up, errors
            seconds = draws.uniform(0, MOST_SECONDS) if draws.random() < GIVEN_UP else None
            chain, thread = chains[number % 3], f"{number}"
            question = (
                f"Ann has {draws.randrange(2, 99)} boxes with {draws.randrange(2, 99)} pens each. "
                f"She gives away {draws.randrange(2, 99)} pens. How many pens are left?"
            )
            async with room:
                call = chain.ainvoke(question, {"configurable": {"thread_id": thread}}, seed=number)
                try:
                    await asyncio.wait_for(call, seconds)
                except TimeoutError:
                    given_up += 1
                except Exception as error:  # noqa: BLE001  # counted, and told
                    errors += 1
                    tell(f"{number}: {type(error).__name__}: {error}")
                if chain is chains[2]:
                    await chain.aforget(thread)
            ended += 1
            if ended % AT_ONCE == 0:
                looks.append(looked(folder))
                tell(f"{ended} questions: {looks[-1]}")

        await asyncio.gather(*(one(number) for number in range(count)))
        looks.append(looked(folder))
    policy.close()
    return looks, given_up, errors


def figures_of(looks: Sequence[Look], count: int) -> dict[str, Any]:
    """What the second half of the looks says."""
    late = looks[len(looks) // 2 : -1]  # at the last one nothing is in flight
    at = [AT_ONCE * number / 1000 for number in range(len(late))]
    slope, _ = linear_regression(at, [each[0] / MIB for each in late])
    spread = [max(column) - min(column) for column in zip(*late, strict=True)]
    return {
        "questions": count,
        "rss_mb": looks[-1][0] / MIB,
        "growth_mb": slope,
        "descriptors": spread[1],
        "threads": spread[2],
        "files": spread[3],
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} questions (the default)")
    parser.add_argument("--full", action="store_true", help=f"{FULL} questions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write benchmarks/results")
    options = parser.parse_args()
    count = FULL if options.full else QUICK
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder  # what anything makes meanwhile is seen
        looks, given_up, errors = asyncio.run(endured(count, options.seed, Path(folder)))
    figures = rounded({**figures_of(looks, count), "given_up": given_up, "errors": errors})
    if options.record:
        write_record(RESULTS, {**provenance(Path(__file__), PACKAGES), "figures": figures})
    print_figures(figures)


if __name__ == "__main__":
    main()
