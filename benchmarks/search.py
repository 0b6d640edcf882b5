"""Searches on a real model beside votes, at equal tokens: what guides, and what it is worth.

    python benchmarks/search.py --quick                       # the recorded figures
    python benchmarks/search.py --tune --questions 30         # settings, on GSM8K train
    python benchmarks/search.py --tune --bank FILE            # the same, replayed from a bank of it
    python benchmarks/search.py --tune --tasks multiarith --ways qstar qstar_merged --questions 100
    python benchmarks/search.py --tune-rstar --questions 20   # rStar's, on GSM8K train
    python benchmarks/search.py --full --record               # the test questions, run once
    python benchmarks/search.py --full --tasks gsm8k --bank FILE   # votes replayed from a bank
    python benchmarks/search.py --rstar --record              # rStar, 30 questions of each task
    python benchmarks/search.py --words --record              # 30 plain-word questions, run once

Each way of `real_models/ways.py` is run live through its chain, every question with a cap of
tokens. Rows, one for each question and way, are kept in results/search.rows.jsonl, so that runs
add up, after a kill and on other days; a way with other settings has rows of its own, and a row
that is there is never run again. `--tune` is what settings are chosen on: train questions, or, of
MultiArith, which has no train split here, those after the judged ones. A search whose budget is
below one rollout is told (`collected_` is below 1), not hidden.

`--bank` takes a file that `pool.py --pack` wrote. With `--full` votes and best-of-N are replayed
from its samples within the cap (`real_models/replays.py`), with `--tune`, of train samples,
searches that draw one sample a step (`real_models/replayed_search.py`): neither costs a token.

Figures, printed last, for each task and way, with low_ and high_ (95 %; differences paired over
questions):

TASK_WAY               share right
TASK_WAY_minus_vote    minus the checked vote, on the same questions, or _minus_greedy where there
                       is none; undecided_ says whether its interval holds 0
questions_             how many it was measured on
tokens_, collected_    tokens a question, of all models; candidates that decided the answer
fallback_              share of questions whose answer is a completion, because nothing complete
                       was found
TASK_replayed_SCORER   with --full and --bank: Q* of one sample a step and the checked vote on the
                       same samples, the mean over their rotations

A model is a name of `real_models/files.py`, whose file is in the folder that the variable
QSTAR_MODELS names. Qwen2.5-Coder may have seen problems like these.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Final

from real_models.engines import ENGINES
from real_models.files import KNOWN, AbsentError, model_file, short_name, told
from real_models.replayed_search import compared
from real_models.replays import REPLAYED, replayed_rows, require_same
from real_models.searches import Row, Runs, Way
from real_models.ways import REFERENCE, SAMPLING, rstar, tuned, tuned_rstar, ways

from langchain_qstar.evaluation.banks import read_bank
from langchain_qstar.evaluation.intervals import PREFIXES, difference_figures, share_figures
from langchain_qstar.evaluation.recording import (
    print_figures,
    provenance,
    read_record,
    rounded,
    tell,
    write_record,
)
from langchain_qstar.settings import QStarSettings
from langchain_qstar.tasks import get_task

RESULTS: Final = Path(__file__).parent / "results"
ROWS: Final = RESULTS / "search.rows.jsonl"
PACKAGES: Final = ("langchain-qstar", "llama-cpp-python", "transformers", "torch")
POLICY: Final = "qwen2.5-coder-0.5b"
QUESTIONS: Final = {"gsm8k": 150, "multiarith": 100}
RSTAR_QUESTIONS: Final = 30
CAP: Final = 1000


def figures_of(task: str, found: Sequence[tuple[Way, Sequence[Row]]]) -> dict[str, Any]:
    """The figures of all ways on the same questions."""
    figures: dict[str, Any] = {}
    known = {way.name: rows for way, rows in found}
    beside = next((name for name in (REFERENCE, "greedy", "qstar_merged") if name in known), None)
    for way, rows in found:
        name = f"{task}_{way.name}"
        right = [float(row["right"]) for row in rows]
        figures |= share_figures(name, right)
        figures[f"questions_{name}"] = len(rows)
        for count in ("tokens", "collected", "fallback"):
            figures[f"{count}_{name}"] = mean(float(row[count]) for row in rows)
        if beside is not None and way.name != beside:
            minus = f"{name}_minus_{'vote' if beside == REFERENCE else beside}"
            other = [float(row["right"]) for row in known[beside]]
            figures |= difference_figures(minus, right, other)
            figures[f"undecided_{minus}"] = figures[f"low_{minus}"] <= 0 <= figures[f"high_{minus}"]
    return figures


def measure(
    runs: Runs, chosen: Sequence[Way], count: int, bank: Path | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The figures of these ways on the first questions, and what they are."""
    found = [(way, _rows(runs, way, count, bank)) for way in chosen]
    about = [
        {
            **way.told(),
            "task": runs.task,
            "replayed": bank.name if bank is not None and way.name in REPLAYED else None,
            "engine": runs.engine,
            "versions": sorted({row["version"] for row in rows}),
        }
        for way, rows in found
    ]
    return figures_of(runs.task, found), about


def _rows(runs: Runs, way: Way, count: int, bank: Path | None) -> list[Row]:
    if bank is None or way.name not in REPLAYED:
        return runs.run(way, count)
    assert way.max_tokens is not None
    kept = read_bank(bank)
    own = {"model": short_name(runs.name), "engine": runs.engine, "task": runs.task}
    require_same(kept, **own, **SAMPLING)
    task = get_task(runs.task)
    return replayed_rows(kept, task, way.name, way.max_tokens, runs.questions(count))


def replayed_searches(path: Path, cap: int) -> dict[str, Any]:
    """Settings of searches that draw one sample a step, replayed from a bank of train questions.

    Raises:
        AbsentError: It is of another split; nothing is chosen on that.
    """
    bank = read_bank(path)
    if (split := bank.about["split"]) != "train":
        raise AbsentError(f"{path.name} is of the {split} split; choose on train")
    found = compared(bank, get_task(bank.about["task"]), cap)
    return {f"train_{name}": value for name, value in found.items()}


def replayed_profile(path: Path, cap: int) -> dict[str, Any]:
    """The search of `QStarSettings.within` by several scorers, on every rotation of the samples.

    One live run is one draw of the samples; here Q* and the checked vote have the same ones.
    """
    bank = read_bank(path)
    task, roots = bank.about["task"], QStarSettings.within(cap).root_samples
    assert roots is not None
    found = compared(bank, get_task(task), cap, roots=(roots,), biases=(0.0,))
    told = {}
    for name, value in found.items():
        known = (*PREFIXES[1:], "tokens_")
        prefix = next((each for each in known if name.startswith(each)), "")
        own = name.removeprefix(prefix).replace(f"_{roots}_0", "", 1)
        told[f"{prefix}{task}_replayed_{own}"] = value
    return told


def development(tasks: Sequence[str], policy: str, engine: str) -> Runs:
    """The questions that settings are chosen on."""
    if list(tasks) == ["multiarith"]:
        return Runs(policy, "multiarith", "test", ROWS, engine, after=QUESTIONS["multiarith"])
    return Runs(policy, "gsm8k", "train", ROWS, engine)


def record_of(policy: str, cap: int) -> Path:
    """Where the figures of a model and a cap of tokens are written."""
    own = [*([short_name(policy)] if policy != POLICY else []), *([str(cap)] if cap != CAP else [])]
    return RESULTS / ".".join(["search", *own, "json"])


def record(
    policy: str, engine: str, cap: int, figures: dict[str, Any], about: list[dict[str, Any]]
) -> None:
    """Add the figures to those recorded, with all that is needed to repeat them.

    What another engine was recorded to do is forgotten: the two are not compared.
    """
    path = record_of(policy, cap)
    before = read_record(path) if path.exists() else {}
    if before.get("engine") != engine:
        before = {"figures": {}, "ways": []}
    new = {(way["name"], way["task"]) for way in about}
    kept = [way for way in before["ways"] if (way["name"], way["task"]) not in new]
    document = {
        **provenance(Path(__file__), PACKAGES),
        "model": told(policy, model_file(policy)),
        "engine": engine,
        "cap": cap,
        "ways": [*kept, *about],
        "figures": {**before["figures"], **figures},
    }
    write_record(path, document)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quick", action="store_true", help="the recorded figures (the default)")
    mode.add_argument("--tune", action="store_true", help="settings, on train questions")
    mode.add_argument("--full", action="store_true", help="the test questions")
    mode.add_argument("--words", action="store_true", help="the plain-word questions")
    mode.add_argument("--rstar", action="store_true", help="rStar, at four and eight times the cap")
    mode.add_argument("--tune-rstar", action="store_true", help="rStar's settings, on train")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results")
    parser.add_argument("--policy", default=POLICY, choices=list(KNOWN))
    parser.add_argument("--engine", default=ENGINES[0], choices=ENGINES, help="what runs it")
    parser.add_argument("--tasks", nargs="+", default=list(QUESTIONS), choices=list(QUESTIONS))
    parser.add_argument("--ways", nargs="+", help="some of the ways; all by default")
    parser.add_argument("--questions", type=int, help="of each task (150 and 100; to tune: 30)")
    parser.add_argument("--cap", type=int, default=CAP, help="tokens of a question")
    parser.add_argument("--head", help="a folder that qstar train wrote, for the ways with a head")
    parser.add_argument("--bank", type=Path, help="samples that votes are replayed from")
    options = parser.parse_args()
    if options.bank and not (options.tune or (options.full and len(options.tasks) == 1)):
        parser.error("--bank goes with --tune, or with --full and one of --tasks")
    return options


def main() -> None:
    """Command line."""
    options = _options()
    if not (options.tune or options.tune_rstar or options.full or options.words or options.rstar):
        if (path := record_of(options.policy, options.cap)).exists():
            print_figures(read_record(path)["figures"])
        else:
            tell("no figures are recorded")
        return
    started = time.monotonic()
    figures: dict[str, Any] = {}
    about: list[dict[str, Any]] = []
    try:
        if options.tune and options.bank:
            figures = replayed_searches(options.bank, options.cap)
        elif options.tune or options.tune_rstar:
            runs = development(options.tasks, options.policy, options.engine)
            known = tuned(options.cap) if options.tune else tuned_rstar(options.cap)
            chosen = _named(options.ways, known)
            figures, about = measure(runs, chosen, options.questions or 30)
            figures = {f"{_prefix(runs)}_{name}": value for name, value in figures.items()}
        elif options.words:
            runs = Runs(options.policy, "plain_words", "test", ROWS, options.engine)
            chosen = _named(options.ways or ["greedy", "qstar"], ways(options.cap, options.head))
            figures, about = measure(runs, chosen, options.questions or 30)
        else:
            for task in options.tasks:
                runs = Runs(options.policy, task, "test", ROWS, options.engine)
                known = rstar(options.cap) if options.rstar else ways(options.cap, options.head)
                asked = options.questions or (RSTAR_QUESTIONS if options.rstar else QUESTIONS[task])
                found, new = measure(runs, _named(options.ways, known), asked, options.bank)
                figures, about = {**figures, **found}, [*about, *new]
            if options.bank:
                figures |= replayed_profile(options.bank, options.cap)
    except AbsentError as error:
        tell(f"skipped: {error}")
        return
    figures = rounded(figures)
    if options.record:
        record(options.policy, options.engine, options.cap, figures, about)
    tell(f"{time.monotonic() - started:.0f} s")
    print_figures(figures)


def _prefix(runs: Runs) -> str:
    return "train" if runs.split == "train" else "development"


def _named(names: Sequence[str] | None, known: Sequence[Way]) -> list[Way]:
    return [way for way in known if names is None or way.name in names]


if __name__ == "__main__":
    main()
