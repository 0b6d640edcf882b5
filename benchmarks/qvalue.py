"""How good and how dear the bundled Q-value model is.

    python benchmarks/qvalue.py --quick            # a sample beside the recorded run
    python benchmarks/qvalue.py --full --record    # the figures, on the test split

Figures, printed last:

scoring_share_of_decoding   CPU seconds of scoring over those of sampling the scored steps, taken
                            in turns, six candidates a state
ece                         expected calibration error: the value of a step against whether the
                            solution that it is a step of was right
within_problem_auc          chance that a right solution of a problem outscores a wrong one, by
                            the aggregate that best-of-N was tuned to
logprob_auc                 the same by mean log-probability alone
qstar_gain_over_best_of_n   share right of Q* minus that of best-of-N by the same scorer, both at
                            2,000 generated tokens a question with their tuned settings; with
                            low_ and high_ (95 %, bootstrap over questions)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from langchain_qstar.baselines.pools import Pool, best, curve, draw_pools, prefixes, score_pools
from langchain_qstar.chains import QStarChain
from langchain_qstar.evaluation.intervals import difference_figures, interpolate
from langchain_qstar.evaluation.recording import (
    digests,
    print_figures,
    provenance,
    read_record,
    rounded,
    write_record,
)
from langchain_qstar.evaluation.runs import run_chain
from langchain_qstar.models.resolve import NANO_FOLDER, resolve_policy
from langchain_qstar.problems.generator import Problem, make_problems
from langchain_qstar.protocols import SampleRequest, ScoreRequest, State, Step, StepScorer
from langchain_qstar.scoring.calibration import calibration_error, within_group_auc
from langchain_qstar.scoring.features import NUMERIC_FEATURES, step_features
from langchain_qstar.scoring.resolve import resolve_scorer
from langchain_qstar.tasks import NANO

RESULTS: Final = Path(__file__).parent / "results"
PACKAGES: Final = ("torch", "transformers", "langgraph")
READ: Final = (NANO_FOLDER / "model.safetensors", NANO_FOLDER / "q_head.safetensors")
TOKENS: Final = 2000
SIZES: Final = (1, 2, 4, 8, 12, 16, 20, 24)
CANDIDATES: Final = 6
AGGREGATES: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "min": min,
    "last": lambda v: v[-1],
    "mean": lambda v: sum(v) / len(v),
}


def bundled_scorer() -> StepScorer:
    """The head of the bundled model."""
    scorer = resolve_scorer("nano", resolve_policy("nano"))
    assert scorer is not None
    return scorer


def scoring_share(problems: Sequence[Problem], rounds: int) -> float:
    """Expand the first steps of some problems and score them, in turns."""
    policy, scorer = resolve_policy("nano"), bundled_scorer()
    sampling = scoring = 0.0
    states = [State(p.question, NANO.messages(p.question)) for p in problems]
    for number in range(rounds + 1):
        start = time.process_time()
        drawn = policy.sample([_expansion(state, number) for state in states])
        middle = time.process_time()
        requests = [
            ScoreRequest(
                state,
                tuple(Step(c.text, token_ids=c.token_ids, logprobs=c.logprobs) for c in group),
            )
            for state, group in zip(states, drawn, strict=True)
        ]
        scores = scorer.score(requests)
        if number:  # the first round warms up
            sampling += middle - start
            scoring += time.process_time() - middle
        states = [_best(r, s.values) for r, s in zip(requests, scores, strict=True)]
        states = [s for s in states if not NANO.is_terminal(s.text)]
    return scoring / sampling


def _expansion(state: State, number: int) -> SampleRequest:
    seeds = tuple(range(number * CANDIDATES, (number + 1) * CANDIDATES))
    return SampleRequest(state, seeds, NANO.stop, NANO.step_tokens, temperature=0.8)


def _best(request: ScoreRequest, values: Sequence[float]) -> State:
    return request.state.then(request.steps[values.index(max(values))])


def scored_pools(problems: Sequence[Problem], temperature: float, n: int) -> list[Pool]:
    """Solutions of every problem with the value of each step."""
    questions = [problem.question for problem in problems]
    pools = draw_pools(questions, resolve_policy("nano"), NANO, n=n, temperature=temperature)
    score_pools(pools, bundled_scorer(), NANO)
    return pools


def quality(pools: Sequence[Pool], golds: Sequence[str], aggregate: str) -> dict[str, float]:
    """Calibration of steps, and ranking of solutions within a problem."""
    right = [pool.right(gold, NANO) for pool, gold in zip(pools, golds, strict=True)]
    totals, logprobs, values, outcomes = [], [], [], []
    for pool, truths in zip(pools, right, strict=True):
        totals.append([AGGREGATES[aggregate](each) if each else 0.0 for each in pool.values])
        logprobs.append([mean_logprob(requests) for requests in prefixes(pool, NANO)])
        for each, truth in zip(pool.values, truths, strict=True):
            values += each
            outcomes += [float(truth)] * len(each)
    return {
        "ece": calibration_error(np.array(values), np.array(outcomes)),
        "within_problem_auc": within_group_auc(totals, right),
        "logprob_auc": within_group_auc(logprobs, right),
    }


def mean_logprob(requests: Sequence[ScoreRequest]) -> float:
    """Of the tokens of a solution; one without a step is the least likely."""
    if not requests:
        return -math.inf
    features = step_features(requests[-1].state, requests[-1].steps[0])
    return features[NUMERIC_FEATURES.index("path_mean_logprob")]


def gain(
    problems: Sequence[Problem],
    pools: Sequence[Pool],
    chosen: dict[str, Any],
    done: Path | None,
) -> dict[str, float]:
    """Q* and best-of-N by the same scorer at the same tokens."""
    golds = [str(problem.answer) for problem in problems]
    choose = best(NANO, AGGREGATES[chosen["best_of_n"]["aggregate"]], weighted=False)
    points = curve(pools, golds, NANO, choose, SIZES)
    best_of_n = [
        interpolate([(tokens, shares[q]) for tokens, shares in points], TOKENS)
        for q in range(len(problems))
    ]
    settings = {**chosen["qstar"]["settings"], "max_tokens": TOKENS - 50}
    rows = run_chain("qstar", QStarChain(settings=settings), problems, done=done)
    right = [float(row.right) for row in rows]
    return difference_figures("qstar_gain_over_best_of_n", right, best_of_n)


def tuned() -> dict[str, Any]:
    """What `accuracy.py --tune --record` chose on the development split."""
    chosen: dict[str, Any] = json.loads((RESULTS / "tuning.json").read_text("utf-8"))["chosen"]
    return chosen


def full(count: int, record: bool) -> None:
    """All figures, on the test split."""
    problems, chosen = make_problems("test", count), tuned()
    golds = [str(problem.answer) for problem in problems]
    key = hashlib.sha256(json.dumps([digests(READ), chosen, count]).encode()).hexdigest()[:12]
    done = RESULTS / f"qvalue.{key}.rows.jsonl" if record else None
    picked = chosen["best_of_n"]
    pools = scored_pools(problems, float(picked["temperature"]), max(SIZES))
    figures = {"scoring_share_of_decoding": scoring_share(problems[:32], rounds=8)}
    figures |= quality(pools, golds, picked["aggregate"])
    figures |= gain(problems, pools, chosen, done)
    figures = rounded(figures)
    if record:
        document = provenance(Path(__file__), PACKAGES, READ)
        write_record(RESULTS / "qvalue.json", {**document, "n": count, "figures": figures})
    print_figures(figures)


def quick(count: int) -> None:
    """What is fast to measure, beside what was recorded."""
    problems, picked = make_problems("test", count), tuned()["best_of_n"]
    golds = [str(problem.answer) for problem in problems]
    figures: dict[str, Any] = {"scoring_share_of_decoding": scoring_share(problems, rounds=4)}
    pools = scored_pools(problems, float(picked["temperature"]), 8)
    measured = quality(pools, golds, picked["aggregate"])
    for name, value in measured.items():
        sys.stderr.write(f"{name} of {count} problems here: {value:.3f}\n")
    path = RESULTS / "qvalue.json"
    if path.exists():
        recorded = read_record(path)
        share = figures["scoring_share_of_decoding"]
        figures = {**recorded["figures"], "scoring_share_of_decoding": round(share, 4)}
        figures |= {"recorded_n": recorded["n"], "recorded_commit": recorded["commit"]}
        figures |= {"sample_n": count, "agrees": int(recorded["sha256"] == digests(READ))}
    else:
        figures |= measured
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
    parser.add_argument("--problems", type=int, help="how many (default 24, 200)")
    options = parser.parse_args()
    if options.full:
        full(options.problems or 200, options.record)
    else:
        quick(options.problems or 24)


if __name__ == "__main__":
    main()
