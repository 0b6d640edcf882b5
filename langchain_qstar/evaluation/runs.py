"""Running a chain over problems and keeping one row a question."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from langchain_qstar.chains import SolverChain
from langchain_qstar.evaluation.grading import grade
from langchain_qstar.problems.generator import Problem
from langchain_qstar.protocols import Task
from langchain_qstar.solution import Solution


@dataclass(frozen=True)
class Row:
    """What one method did with one question."""

    method: str
    number: int
    """Place of the problem in the list."""
    steps: int
    right: bool
    answer: str | None
    """None when none was found: counted apart from a wrong one."""
    tokens: int
    completions: int
    stopped: str


def row_of(method: str, number: int, problem: Problem, solution: Solution, task: Task) -> Row:
    """Grade one solution; the gold answer is read here and nowhere before."""
    answer = solution.answer
    return Row(
        method=method,
        number=number,
        steps=problem.steps,
        right=grade(answer, str(problem.answer), task) == "right",
        answer=answer,
        tokens=solution.usage.completion_tokens,
        completions=solution.usage.completions,
        stopped=solution.stopped,
    )


def run_chain(
    method: str,
    chain: SolverChain,
    problems: Sequence[Problem],
    *,
    seed: int = 0,
    concurrency: int = 32,
    keep: Callable[[int, Solution], None] | None = None,
    done: Path | None = None,
) -> list[Row]:
    """One row per problem, in order.

    Args:
        method: Name of the rows.
        chain: Who answers; `batch` is called on groups of questions.
        problems: What is asked.
        seed: Of the run.
        concurrency: Questions in flight.
        keep: Called with every fresh solution, for measures a row does not hold.
        done: JSON lines of rows; what is there already is not run again, and
            every finished group is appended.
    """
    rows = {row.number: row for row in _read(done) if row.method == method}
    missing = [n for n in range(len(problems)) if n not in rows]
    for start in range(0, len(missing), concurrency * 2):
        group = missing[start : start + concurrency * 2]
        solutions = chain.batch(
            [problems[n].question for n in group], {"max_concurrency": concurrency}, seed=seed
        )
        fresh = [
            row_of(method, n, problems[n], solution, chain.task)
            for n, solution in zip(group, solutions, strict=True)
        ]
        rows |= {row.number: row for row in fresh}
        _append(done, fresh)
        if keep:
            for n, solution in zip(group, solutions, strict=True):
                keep(n, solution)
    return [rows[n] for n in range(len(problems))]


def _read(path: Path | None) -> list[Row]:
    if path is None or not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Row(**json.loads(line)) for line in lines if line.endswith("}")]


def _append(path: Path | None, rows: Sequence[Row]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)
