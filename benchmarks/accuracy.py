"""Shares right on nano's test split at equal tokens: greedy, votes, best-of-N and Q*.

    python benchmarks/accuracy.py --quick            # a sample beside the recorded run
    python benchmarks/accuracy.py --tune --record    # settings, on the development split
    python benchmarks/accuracy.py --full --record    # the figures, on the test split

Every method has 2,000 generated tokens a question on average: self-consistency
and best-of-N are interpolated between the two values of N around it; Q* is run
with a token budget. Temperatures, N and Q*'s settings were chosen on the
development split (`--tune`), for each method by itself. Greedy is a point.

Figures, printed last: greedy, self_consistency, self_consistency_checked (votes of
samples without a failed check), best_of_n, best_of_n_vote, qstar (whose failed steps
are pruned) and qstar_unchecked (the same without checks) as shares right, tokens_,
low_ and high_ of each (95 % Wilson intervals), and the paired differences of qstar
over each other method with low_ and high_ (bootstrap over questions).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from langchain_qstar.baselines.pools import (
    Choose,
    Pool,
    best,
    curve,
    draw_pools,
    majority,
    score_pools,
    unfailed,
)
from langchain_qstar.chains import GreedyChain, QStarChain
from langchain_qstar.checks.running import resolve_checks
from langchain_qstar.evaluation.intervals import (
    difference_figures,
    interpolate,
    share_figures,
    wilson,
)
from langchain_qstar.evaluation.recording import (
    digests,
    print_figures,
    provenance,
    read_record,
    rounded,
    tell,
    write_record,
)
from langchain_qstar.evaluation.runs import run_chain
from langchain_qstar.models.resolve import NANO_FOLDER, resolve_policy
from langchain_qstar.problems.generator import Problem, make_problems
from langchain_qstar.protocols import State, Step
from langchain_qstar.scoring.resolve import resolve_scorer
from langchain_qstar.tasks import NANO

RESULTS: Final = Path(__file__).parent / "results"
PACKAGES: Final = ("torch", "transformers", "langgraph", "langchain-core")
READ: Final = (NANO_FOLDER / "model.safetensors", NANO_FOLDER / "q_head.safetensors")
TOKENS: Final = 2000
SIZES: Final = (1, 2, 4, 8, 12, 16, 20, 24)
TEMPERATURES: Final = (0.4, 0.6, 0.8)
AGGREGATES: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "min": min,
    "last": lambda v: v[-1],
    "mean": lambda v: sum(v) / len(v),
}
SAMPLED: Final = ("self_consistency", "self_consistency_checked", "best_of_n", "best_of_n_vote")
SEARCHES: Final[dict[str, list[str] | None]] = {"qstar": None, "qstar_unchecked": []}
"""Which checks: the task's own, or none."""
CHECKS: Final = resolve_checks(None, NANO)


@dataclass
class Shares:
    """One method: right or not a question (fractions where interpolated), mean tokens."""

    right: list[float]
    tokens: float


def at_tokens(points: Sequence[tuple[float, list[float]]], tokens: float) -> Shares:
    """Interpolate every question's share between the settings around `tokens`."""
    questions = len(points[0][1])
    right = [
        interpolate([(t, shares[q]) for t, shares in points], tokens) for q in range(questions)
    ]
    return Shares(right, min(tokens, points[-1][0]))


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return sum(values) / len(values)


def pools_at(problems: Sequence[Problem], temperature: float, n: int, seed: int) -> list[Pool]:
    """Sampled and scored solutions."""
    policy = resolve_policy("nano")
    scorer = resolve_scorer("nano", policy)
    assert scorer is not None
    questions = [problem.question for problem in problems]
    pools = draw_pools(questions, policy, NANO, n=n, temperature=temperature, seed=seed)
    score_pools(pools, scorer, NANO)
    return pools


def tune_samples(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Votes and best-of-N at every temperature, aggregate and rule."""
    golds = [str(problem.answer) for problem in problems]
    tried: list[dict[str, Any]] = []
    for temperature in TEMPERATURES:
        pools = pools_at(problems, temperature, max(SIZES), seed=0)
        rules = {
            ("self_consistency", ""): majority(NANO),
            ("self_consistency_checked", ""): unfailed(NANO, failed),
        }
        for (name, aggregate), weighted in itertools.product(AGGREGATES.items(), (False, True)):
            method = "best_of_n_vote" if weighted else "best_of_n"
            rules[method, name] = best(NANO, aggregate, weighted=weighted)
        for (method, name), choose in rules.items():
            share = at_tokens(curve(pools, golds, NANO, choose, SIZES), TOKENS)
            settings = {"temperature": temperature, **({"aggregate": name} if name else {})}
            tried.append({"method": method, **settings, "share": round(mean(share.right), 4)})
            tell(json.dumps(tried[-1]))
    return tried


def tune_qstar(problems: Sequence[Problem], grid: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Q* with every setting of the grid."""
    tried: list[dict[str, Any]] = []
    for settings in grid:
        started = time.monotonic()
        rows = run_chain("qstar", searcher(settings), problems)
        right, tokens = mean([row.right for row in rows]), mean([row.tokens for row in rows])
        row = {"method": "qstar", "settings": settings, "share": round(right, 4)}
        tried.append({**row, "tokens": round(tokens)})
        tell(f"{json.dumps(tried[-1])} {time.monotonic() - started:.0f} s")
    return tried


def failed(question: str, step: Step) -> bool:
    """Whether nano's own check fails a step; it reads nothing but the step."""
    verdicts = CHECKS.judge(State(question), step.text)
    return any(check.verdict == "failed" for check in verdicts)


def searcher(settings: dict[str, Any], checks: Sequence[str] | None = None) -> QStarChain:
    """Q* with a token budget a little below the mark: its last expansion overshoots."""
    settings = {**settings, "max_tokens": TOKENS - 50}
    utility = settings.pop("utility", None)
    return QStarChain(utility=utility, settings=settings, checks=checks)


def tune(count: int, grid: Sequence[dict[str, Any]], only: str | None, record: bool) -> None:
    """Choose every method's settings on the development split."""
    problems = make_problems("dev", count)
    tried = [] if only == "qstar" else tune_samples(problems)
    tried += [] if only == "samples" else tune_qstar(problems, grid)
    if not record:
        return
    methods = {row["method"] for row in tried}
    path = RESULTS / "tuning.json"
    before = read_record(path)["tried"] if path.exists() else []
    tried = [row for row in before if row["method"] not in methods] + tried
    chosen: dict[str, Any] = {}
    for row in tried:
        if row["share"] > chosen.get(row["method"], {}).get("share", -1):
            chosen[row["method"]] = row
    write_record(path, {**about(), "n": count, "chosen": chosen, "tried": tried})


def measure(
    problems: Sequence[Problem], chosen: dict[str, Any], seed: int, done: Path | None
) -> dict[str, Shares]:
    """All methods on the same problems, with the chosen settings."""
    golds = [str(problem.answer) for problem in problems]
    result: dict[str, Shares] = {}
    rows = run_chain("greedy", GreedyChain(), problems, done=done)
    result["greedy"] = Shares([float(r.right) for r in rows], mean([r.tokens for r in rows]))
    pools: dict[float, list[Pool]] = {}
    for method in SAMPLED:
        picked = chosen[method]
        temperature = float(picked["temperature"])
        if temperature not in pools:
            pools[temperature] = pools_at(problems, temperature, max(SIZES), seed)
        points = curve(pools[temperature], golds, NANO, rule_of(method, picked), SIZES)
        result[method] = at_tokens(points, TOKENS)
    for method, checks in SEARCHES.items():
        chain = searcher(chosen["qstar"]["settings"], checks)
        rows = run_chain(method, chain, problems, seed=seed, done=done)
        result[method] = Shares([float(r.right) for r in rows], mean([r.tokens for r in rows]))
    return result


def rule_of(method: str, picked: dict[str, Any]) -> Choose:
    """How a method over samples chooses its answer."""
    match method:
        case "self_consistency":
            return majority(NANO)
        case "self_consistency_checked":
            return unfailed(NANO, failed)
        case _:
            aggregate = AGGREGATES[picked["aggregate"]]
            return best(NANO, aggregate, weighted=method == "best_of_n_vote")


def figures_of(shares: dict[str, Shares]) -> dict[str, float]:
    """Shares, intervals and paired differences, rounded."""
    figures: dict[str, float] = {}
    for method, share in shares.items():
        figures |= share_figures(method, share.right)
        figures[f"tokens_{method}"] = share.tokens
    for other in [method for method in shares if method != "qstar"]:
        own = shares["qstar"].right
        figures |= difference_figures(f"qstar_over_{other}", own, shares[other].right)
    return rounded(figures)


def about() -> dict[str, Any]:
    """Where figures come from."""
    return provenance(Path(__file__), PACKAGES, READ)


def chosen_settings() -> dict[str, Any]:
    """What `--tune --record` wrote."""
    chosen: dict[str, Any] = read_record(RESULTS / "tuning.json")["chosen"]
    return chosen


def rows_file(count: int, seed: int) -> Path:
    """Rows to resume from: only those of the same weights, settings, size and seed."""
    key = json.dumps([digests(READ), chosen_settings(), count, seed], sort_keys=True)
    return RESULTS / f"accuracy.{hashlib.sha256(key.encode()).hexdigest()[:12]}.rows.jsonl"


def full(count: int, seed: int, record: bool) -> None:
    """The figures, on the test split."""
    done = rows_file(count, seed) if record else None
    shares = measure(make_problems("test", count), chosen_settings(), seed, done)
    figures = figures_of(shares)
    if record:
        per_question = {name: [round(x, 3) for x in share.right] for name, share in shares.items()}
        document = {**about(), "n": count, "seed": seed, "figures": figures, "right": per_question}
        write_record(RESULTS / "accuracy.json", document)
    print_figures(figures)


def quick(count: int) -> None:
    """Measure a small sample, and print the recorded figures with how far they agree."""
    chosen, started = chosen_settings(), time.monotonic()
    problems = make_problems("test", count)
    rows = run_chain("greedy", GreedyChain(), problems)
    searched = run_chain("qstar", searcher(chosen["qstar"]["settings"]), problems)
    sample = {"greedy": [r.right for r in rows], "qstar": [r.right for r in searched]}
    recorded = read_record(RESULTS / "accuracy.json")
    agrees = True
    for method, right in sample.items():
        low, high = wilson(sum(right), count)
        agrees &= low <= recorded["figures"][method] <= high
        tell(f"{method}: {sum(right)} of {count} right here, interval {low:.3f} to {high:.3f}")
    tell(f"{time.monotonic() - started:.0f} s; recorded on {recorded['n']} problems:")
    print_figures(
        {
            **recorded["figures"],
            "recorded_n": recorded["n"],
            "recorded_commit": recorded["commit"],
            "sample_n": count,
            "agrees": int(agrees),
        }
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quick", action="store_true", help="the default")
    mode.add_argument("--tune", action="store_true")
    mode.add_argument("--full", action="store_true")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results")
    parser.add_argument("--problems", type=int, help="how many (default 12, 90, 300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("samples", "qstar"), help="with --tune: one part")
    parser.add_argument("--grid", type=json.loads, help="Q* settings to try, a JSON list")
    options = parser.parse_args()
    if options.tune:
        tune(options.problems or 90, options.grid or GRID, options.only, options.record)
    elif options.full:
        full(options.problems or 300, options.seed, options.record)
    else:
        quick(options.problems or 12)


_BASE: Final = {"num_samples": 4, "num_trajectories": 64, "selection": "weighted_majority"}
GRID: Final[tuple[dict[str, Any], ...]] = (
    {**_BASE, "temperature": 0.6},
    {**_BASE, "temperature": 0.8},
)
"""Q* settings that `--tune` tries by default."""

if __name__ == "__main__":
    main()
