"""How right and how fast checks and the comparison of answers are.

    python benchmarks/checks.py --quick
    python benchmarks/checks.py --full --record

Reads the shared benchmark data, by default beside the checkout. Figures, printed last:

grading_share        right verdicts over the numeric and LaTeX grading cases
numeric_share        of the numeric ones
latex_share          of the LaTeX ones
boolean_share        of the yes-or-no ones
math_verify_share    math-verify by itself on the numeric and LaTeX cases
unparsed             predictions in which no answer was found (counted as not equal)
slowest_case_s       longest comparison, in seconds
false_alarms         share of the steps of GSM8K's gold solutions that fail the arithmetic check
coverage             share of those with an equals sign that get a verdict
slips_found          share of them that fail after one result was changed
verdicts_per_second  arithmetic verdicts on those steps, nothing remembered
median_ms            one of them
symbolic_ms          median of a symbolic verdict in its process
worker_start_s       start of that process
share_of_search      part of the seconds of searches with the bundled model that checks took
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

from math_verify import parse, verify

from langchain_qstar.chains import QStarChain
from langchain_qstar.checks.arithmetic import arithmetic, check_text
from langchain_qstar.checks.latex import ALGEBRA, same_latex
from langchain_qstar.checks.symbolic import symbolic
from langchain_qstar.evaluation.grading import grade
from langchain_qstar.evaluation.recording import print_figures, provenance, write_record
from langchain_qstar.problems.generator import make_problems
from langchain_qstar.protocols import Judgement, State, Task
from langchain_qstar.tasks import GSM8K, MATH, STRATEGYQA

RESULTS: Final = Path(__file__).parent / "results" / "checks.json"
PACKAGES: Final = ("math-verify", "sympy", "latex2sympy2-extended")
DATA: Final = Path(__file__).parents[2] / "shared" / "data"
TASKS: Final[dict[str, Task]] = {"numeric": GSM8K, "latex": MATH, "boolean": STRATEGYQA}
FORMULAS: Final = (
    r"$\sqrt{%d} = 5\sqrt{2}$",
    r"We have 2x + %d = 13, so x = 5.",
    r"(x+%d)^2 = x^2+2x+1",
    r"$\frac{%d}{2} + \frac{1}{3} = \frac{5}{6}$",
)
"""Steps for the symbolic check; a number makes each a new text."""

_RESULT: Final = re.compile(r"(?<==)\s*\$?(\d+)\b(?![.,/%]\d)(?!.*=)")


def records(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def answer_of(text: str, form: str, task: Task) -> str | None:
    """A bare answer as it is, or the one that a response states."""
    return text if form == "final" else task.read(text)[0]


def judged(case: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a case is judged as expected, and whether its prediction held an answer."""
    task = TASKS[case["kind"]]
    gold = answer_of(case["gold"], case["gold_form"], task)
    found = answer_of(case["pred"], case["pred_form"], task)
    said = "unparsed" if gold is None else grade(found, gold, task)
    return (said == "right") is case["equal"], found is not None


def math_verify_alone(case: dict[str, Any]) -> bool:
    """Whether math-verify judges a case as expected, called as its documentation does."""
    return verify(_read(case, "gold"), _read(case, "pred")) is case["equal"]


def _read(case: dict[str, Any], side: str) -> list[Any]:
    text, form = case[side], case[f"{side}_form"]
    bare = form == "final" and "$" not in text and "\\boxed" not in text
    return list(parse(f"${text}$" if bare else text))


def share(results: Iterable[bool]) -> float:
    """How many of them are true."""
    values = list(results)
    return sum(values) / len(values)


def grading(cases: list[dict[str, Any]]) -> dict[str, float]:
    """Shares of right verdicts."""
    same_latex("x + 1", "1 + x")  # starts the process
    right: dict[str, list[bool]] = {kind: [] for kind in TASKS}
    parsed: list[bool] = []
    slowest = 0.0
    for case in cases:
        start = time.perf_counter()
        expected, found = judged(case)
        slowest = max(slowest, time.perf_counter() - start)
        right[case["kind"]].append(expected)
        parsed.append(found)
    return {
        "grading_share": share(right["numeric"] + right["latex"]),
        "numeric_share": share(right["numeric"]),
        "latex_share": share(right["latex"]),
        "boolean_share": share(right["boolean"]),
        "math_verify_share": share(
            math_verify_alone(case) for case in cases if case["kind"] != "boolean"
        ),
        "unparsed": parsed.count(False),
        "slowest_case_s": slowest,
    }


def slipped(step: str, rng: random.Random) -> str | None:
    """The step with its last result changed by a little; None when there is none to change."""
    found = _RESULT.search(step)
    if found is None:
        return None
    wrong = int(found[1]) + rng.choice((-2, -1, 1, 2, 10))
    return step[: found.start(1)] + str(abs(wrong)) + step[found.end(1) :]


def steps_of(solutions: list[dict[str, Any]]) -> Iterator[str]:
    """The steps of gold solutions, as people write them: without calculator annotations."""
    for each in solutions:
        for step in each["solution"].splitlines():
            yield re.sub(r"<<[^>]*>>", "", step)


def timed(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def arithmetic_figures(steps: list[str]) -> dict[str, float]:
    """Verdicts on gold steps, and on the same with a slip in them."""
    rng = random.Random(0)
    check_text.cache_clear()
    seconds = [timed(lambda step=step: check_text(step)) for step in steps]  # type: ignore[misc]
    verdicts = [check_text(step).verdict for step in steps]
    equations = [v for step, v in zip(steps, verdicts, strict=True) if "=" in step]
    judged = [step for step, v in zip(steps, verdicts, strict=True) if v]
    slips = [slip for step in judged if (slip := slipped(step, rng)) and slip != step]
    return {
        "false_alarms": share(v is False for v in verdicts),
        "coverage": share(v is not None for v in equations),
        "slips_found": share(check_text(slip).verdict is False for slip in slips),
        "verdicts_per_second": len(seconds) / sum(seconds),
        "median_ms": 1000 * median(seconds),
    }


def symbolic_figures(repeats: int) -> dict[str, float]:
    """The cost of the process for algebra."""
    ALGEBRA.close()
    start = timed(lambda: ALGEBRA.ask("same", "x", "y"))
    steps = [form % number for number in range(1, repeats + 1) for form in FORMULAS]
    seconds = [timed(lambda step=step: symbolic(State("?"), step)) for step in steps]  # type: ignore[misc]
    return {"symbolic_ms": 1000 * median(seconds), "worker_start_s": start}


def share_of_search(questions: int) -> float:
    """Seconds in the arithmetic check over seconds of search, on development problems."""
    spent: list[float] = []

    def arithmetic_timed(state: State, step: str) -> Judgement:
        start = time.perf_counter()
        judgement = arithmetic(state, step)
        spent.append(time.perf_counter() - start)
        return judgement

    settings = {"num_samples": 4, "max_tokens": 400}
    chain = QStarChain(
        "nano", "log-probability", settings=settings, checks=[arithmetic_timed], seed=1
    )
    problems = make_problems("dev", questions)
    check_text.cache_clear()
    searched = float(sum(chain.invoke(each.question).seconds for each in problems))
    return sum(spent) / searched


def main() -> None:
    """Measure, record if asked, and print."""
    parser = argparse.ArgumentParser(description="rightness and cost of checks and grading")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="within 45 s (the default)")
    size.add_argument("--full", action="store_true", help="more repetitions")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the benchmark data")
    chosen = parser.parse_args()
    if chosen.record and not chosen.full:
        parser.error("--record needs --full")
    if not (chosen.data / "grading_cases.jsonl").exists():
        parser.error(f"there is no grading_cases.jsonl in {chosen.data}; name its folder: --data")
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)
    cases = records(chosen.data / "grading_cases.jsonl")
    steps = list(steps_of(records(chosen.data / "gsm8k.jsonl")))
    figures = grading(cases) | arithmetic_figures(steps)
    figures |= symbolic_figures(20 if chosen.full else 5)
    figures["share_of_search"] = share_of_search(20 if chosen.full else 3)
    ALGEBRA.close()
    if chosen.record:
        document = provenance(Path(__file__), PACKAGES, [chosen.data / "grading_cases.jsonl"])
        sizes = {"cases": len(cases), "steps": len(steps)}
        write_record(RESULTS, {**document, "sizes": sizes, "figures": figures})
    print_figures(figures)


if __name__ == "__main__":
    main()
