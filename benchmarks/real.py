"""Whether a real model answers through the product as well as with a plain prompt.

    python benchmarks/real.py --quick
    python benchmarks/real.py --full --record
    python benchmarks/real.py --full --only plain --tasks svamp --questions 50
    python benchmarks/real.py --full --policy gguf:FILE

The first questions of GSM8K, SVAMP and MultiArith, greedily: `GreedyChain` as it is, beside the
better of three plain prompts over bare `llama_decode` with no code of this package's engine:
`few_shot` and `zero_shot` of the literature (`real_models/plain_prompts.py`), and `ours`, the
product's own prompt as text. The product is read by its own reader; plain texts as kindly as
the literature does: the last box, else the number after `answer is`, else the last number. As
`base` the model is a completer without its template, through the product and with the same
text. A model is a name of `real_models/files.py`, whose file is in the folder that the variable
QSTAR_MODELS names, or any `gguf:FILE`. Rows are kept in build/real, and a run goes on after them.

Figures, printed last, with low_ and high_ (95 %; of a difference paired over questions):

recorded_n             questions of each task
TASK_greedy            share right through the product
TASK_plain             of the better plain prompt; TASK_zero_shot, TASK_few_shot, TASK_ours of each
TASK_difference        the first minus the second, on the same questions
TASK_base_greedy, TASK_base_plain, TASK_base_difference   the same as a completer
bare_answers           of the product's answers: without any calculation
unparsed_greedy        of the product's solutions: without an answer
unparsed_samples       of samples at temperature 0.8 that ended by themselves, from the banks
                       of `pool.py`: without an answer; unparsed_asked when asked for it, too
tokens_NAME            tokens a question

Qwen2.5-Coder may have seen problems like these: the figures compare ways to use one model.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any, Final

from real_models.files import KNOWN, AbsentError, model_file, short_name, told
from real_models.sides import Measured, Row

from langchain_qstar.evaluation.banks import read_bank
from langchain_qstar.evaluation.intervals import difference_figures, share_figures
from langchain_qstar.evaluation.recording import (
    print_figures,
    provenance,
    read_record,
    rounded,
    tell,
    write_record,
)

RESULTS: Final = Path(__file__).parent / "results"
PACKAGES: Final = ("langchain-qstar", "llama-cpp-python")
TASKS: Final = ("gsm8k", "svamp", "multiarith")
PLAIN: Final = ("zero_shot", "few_shot", "ours")
PARTS: Final = ("plain", "product", "base")
NOTE: Final = "Qwen2.5-Coder may have seen problems like these."

_CALCULATION: Final = re.compile(
    r"\d[^\n]*=[^\n]*\d|\d\s*(?:[-+*/×÷]|\\times|\\div|\\cdot)\s*\$?\d"
)


def is_bare(row: Row) -> bool:
    """Whether an answer was given without any calculation."""
    return row["answer"] is not None and not _CALCULATION.search(row["text"])


def compared(
    task: str, product: Sequence[Row], plain: Mapping[str, Sequence[Row]], *, base: bool = False
) -> dict[str, Any]:
    """The product beside the better of some plain prompts, on the same questions."""
    mark = f"{task}_base" if base else task
    figures: dict[str, Any] = {}
    if not base:
        for name, rows in plain.items():
            figures |= _share(f"{task}_{name}", rows)
    better = max(plain, key=lambda name: sum(row["right"] for row in plain[name]), default=None)
    figures |= _share(f"{mark}_plain", plain[better]) if better else {}
    figures |= _share(f"{mark}_greedy", product) if product else {}
    if better and product:
        sides = [[float(row["right"]) for row in rows] for rows in (product, plain[better])]
        figures |= difference_figures(f"{mark}_difference", *sides)
    return figures


def _share(name: str, rows: Sequence[Row]) -> dict[str, float]:
    figures = share_figures(name, [float(row["right"]) for row in rows])
    return figures | {f"tokens_{name}": mean(row["tokens"] for row in rows)}


def unparsed_samples(policy: str) -> dict[str, float]:
    """Of samples of the banks that ended by themselves: how many have no answer."""
    names = (RESULTS / "banks").glob(f"{short_name(policy)}.*.test.jsonl.xz")
    banks = [read_bank(path) for path in names]
    every = [one for bank in banks for each in bank.questions for one in each.samples]
    ended = [one for one in every if one.sample.finish in ("stop", "eos")]
    if not ended:
        return {}
    without = [one.sample.answer is None for one in ended]
    stated = [one.sample.answer is None or one.line is not None for one in ended]
    return {"unparsed_samples": mean(stated), "unparsed_asked": mean(without)}


def measure(
    measured: Measured,
    tasks: Sequence[str],
    parts: Sequence[str],
    prompts: Sequence[str],
    *,
    base_tasks: Sequence[str] = TASKS,
    ours_tasks: Sequence[str] = TASKS,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures, and which questions are right by which side."""
    figures: dict[str, Any] = {"recorded_n": measured.questions}
    right: dict[str, Any] = {}
    products: list[Row] = []
    versions: set[str] = set()
    for task in tasks:
        names = [name for name in prompts if name != "ours" or task in ours_tasks]
        plain = {name: measured.plain(task, name) for name in names if "plain" in parts}
        product = measured.product(task) if "product" in parts else []
        figures |= compared(task, product, plain)
        sides = {**plain, "greedy": product}
        if "base" in parts and task in base_tasks:
            base = measured.product(task, base=True)
            same = {"base": measured.plain(task, "base")}
            figures |= compared(task, base, same, base=True)
            sides |= {"base_plain": same["base"], "base_greedy": base}
        versions |= {
            row["version"] for name in ("greedy", "base_greedy") for row in sides.get(name, [])
        }
        right[task] = {name: [int(row["right"]) for row in rows] for name, rows in sides.items()}
        products += product
    if products:
        figures["bare_answers"] = mean(map(is_bare, products))
        figures["unparsed_greedy"] = mean(row["answer"] is None for row in products)
    right["drawn_at"] = sorted(versions)
    return {**rounded(figures), **unparsed_samples(measured.policy)}, right


def record(measured: Measured, figures: dict[str, Any], right: dict[str, Any]) -> None:
    """Write the figures down with all that is needed to repeat them."""
    document = {
        **provenance(Path(__file__), PACKAGES),
        "model": told(measured.policy, measured.file),
        "note": NOTE,
    }
    name = "real.json" if measured.policy == POLICY else f"real.{short_name(measured.policy)}.json"
    write_record(RESULTS / name, {**document, "figures": figures, "right": right})


def quick(options: argparse.Namespace) -> None:
    """The recorded figures, and a few questions where the model is there."""
    started = time.monotonic()
    try:
        file = model_file(options.policy)
        with tempfile.TemporaryDirectory() as fresh:
            measured = Measured(options.policy, file, options.questions or 3, Path(fresh))
            rows = measured.product("multiarith")
        tell(f"{sum(row['right'] for row in rows)} of {len(rows)} right here, multiarith")
    except AbsentError as error:
        tell(f"skipped: {error}")
    tell(f"{time.monotonic() - started:.0f} s; {NOTE}")
    if (RESULTS / "real.json").exists():
        recorded = read_record(RESULTS / "real.json")
        print_figures({**recorded["figures"], "recorded_commit": recorded["commit"]})


POLICY: Final = "qwen2.5-coder-0.5b"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="the recorded figures (the default)")
    size.add_argument("--full", action="store_true", help="measure")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results")
    parser.add_argument("--policy", default=POLICY, help=f"{', '.join(KNOWN)} or gguf:FILE")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--questions", type=int, help="of each task (default 100, quick 3)")
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--prompts", nargs="+", default=list(PLAIN), choices=PLAIN)
    parser.add_argument("--base-tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--ours-tasks", nargs="+", default=list(TASKS), choices=TASKS)
    options = parser.parse_args()
    if options.record and not options.full:
        parser.error("--record needs --full")
    if not find_spec("llama_cpp"):
        tell("skipped: llama-cpp-python is not installed; install the extra `llamacpp`")
    elif not options.full:
        quick(options)
    else:
        try:
            measured = Measured(
                options.policy, model_file(options.policy), options.questions or 100
            )
            figures, right = measure(
                measured,
                options.tasks,
                options.only,
                options.prompts,
                base_tasks=options.base_tasks,
                ours_tasks=options.ours_tasks,
            )
        except AbsentError as error:
            tell(f"skipped: {error}")
            return
        if options.record:
            record(measured, figures, right)
        print_figures(figures)


if __name__ == "__main__":
    main()
