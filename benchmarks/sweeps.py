"""How lambda and K change what Q* gets right; `curves.py` draws it.

    python benchmarks/sweeps.py --quick            # the recorded figures, and whether they hold
    python benchmarks/sweeps.py --full --record    # the figures

On the development split of the bundled model at 2,000 generated tokens a question. lambda
weighs the Q-value against the process reward, so both are the bundled head here: g is its
least value on the path, h its value of the last step.

Figures, printed last: lambda_X and k_X for every X (shares right), low_ and high_ of each.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from langchain_qstar.chains import QStarChain
from langchain_qstar.evaluation.intervals import wilson
from langchain_qstar.evaluation.recording import (
    digests,
    print_figures,
    provenance,
    read_record,
    tell,
    work_folder,
    write_record,
)
from langchain_qstar.evaluation.runs import run_chain
from langchain_qstar.models.resolve import NANO_FOLDER
from langchain_qstar.problems.generator import Problem, make_problems

RESULTS: Final = Path(__file__).parent / "results"
PACKAGES: Final = ("torch", "transformers", "langgraph")
READ: Final = (NANO_FOLDER / "model.safetensors", NANO_FOLDER / "q_head.safetensors")
WORK: Final = work_folder(Path(__file__), READ)
TOKENS: Final = 2000
LAMBDAS: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
KS: Final = (1, 2, 3, 4, 6, 8)
SEARCH: Final = {
    "num_trajectories": 64,
    "selection": "weighted_majority",
    "max_tokens": TOKENS - 50,
}


def chain_of(name: str, value: float) -> QStarChain:
    """The search with this lambda or K."""
    if name == "lambda":
        settings = {**SEARCH, "num_samples": 3, "root_samples": 12, "lam": value}
        return QStarChain(utility="nano", settings=settings)
    return QStarChain(settings={**SEARCH, "num_samples": int(value)})


def sweep(problems: Sequence[Problem], name: str, values: Sequence[float]) -> dict[str, float]:
    """Shares right along one axis."""
    figures: dict[str, float] = {}
    for value in values:
        key = f"{name}_{value:g}"
        done = WORK / f"{len(problems)}.rows.jsonl"
        rows = run_chain(key, chain_of(name, value), problems, done=done)
        right = sum(row.right for row in rows)
        low, high = wilson(right, len(rows))
        figures |= {key: right / len(rows), f"low_{key}": low, f"high_{key}": high}
        tell(f"{key}: {figures[key]:.3f}")
    return figures


def full(count: int, record: bool) -> None:
    """Both curves."""
    problems = make_problems("dev", count)
    figures = sweep(problems, "lambda", LAMBDAS) | sweep(problems, "k", KS)
    if record:
        document = provenance(Path(__file__), PACKAGES, READ)
        write_record(RESULTS / "sweeps.json", {**document, "n": count, "figures": figures})
    print_figures(figures)


def quick(count: int) -> None:
    """One point measured here beside the recorded curves."""
    rows = run_chain("k_3", chain_of("k", 3), make_problems("dev", count))
    right = sum(row.right for row in rows)
    if not (RESULTS / "sweeps.json").exists():
        print_figures({"sample_n": count, "right": right, "recorded_n": 0})
        return
    recorded: dict[str, Any] = read_record(RESULTS / "sweeps.json")
    low, high = wilson(right, count)
    figures = {**recorded["figures"], "recorded_n": recorded["n"], "sample_n": count}
    figures["agrees"] = int(
        low <= recorded["figures"]["k_3"] <= high and recorded["sha256"] == digests(READ)
    )
    print_figures(figures)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quick", action="store_true", help="the default")
    mode.add_argument("--full", action="store_true")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results")
    parser.add_argument("--problems", type=int, help="how many (default 8, 100)")
    options = parser.parse_args()
    if options.full:
        full(options.problems or 100, options.record)
    else:
        quick(options.problems or 8)


if __name__ == "__main__":
    main()
