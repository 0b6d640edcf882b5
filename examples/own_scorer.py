"""Guide the search with a function of your own: here, a pocket calculator.

A scorer is any `(state, steps) -> list[float]` with values in [0, 1]. This one
likes steps whose sums are right, and knows nothing about the question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from langchain_qstar import QStarChain, State

SUM = re.compile(r"(\d+) ?([+*-]) ?(\d+) ?= ?(\d+)")
QUESTION = (
    "Ann has 3 boxes with 12 pens each. She gives away 7 pens. How many pens does she have left?"
)


def calculator(state: State, steps: Sequence[str]) -> list[float]:
    """1 for a step without a wrong sum, 0 for a step with one."""
    return [float(all(_right(*sums) for sums in SUM.findall(step))) for step in steps]


def _right(left: str, sign: str, right: str, result: str) -> bool:
    a, b = int(left), int(right)
    return int(result) == {"+": a + b, "-": a - b, "*": a * b}[sign]


def main() -> None:
    """Solve with the calculator in place of the bundled Q-value model."""
    solution = QStarChain(q_model=calculator).invoke(QUESTION)
    print(solution)


if __name__ == "__main__":
    main()
