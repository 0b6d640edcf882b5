"""Judge steps with a function of your own, beside the calculator.

A check is any `(state, step) -> True, False or None`, alone or with a reason: passed,
failed, not checkable. Steps that fail are pruned from the search; here, those that
count a negative number of things. A check that passes the step with the answer verifies it,
unless it says that it only judges calculations, as this one must: most wrong answers are no
negative numbers either.
"""

from __future__ import annotations

import re

from langchain_qstar import QStarChain, State

QUESTION = "Ann has 3 boxes with 12 pens each. She gives away 7 pens. How many pens has she left?"


def nothing_negative(state: State, step: str) -> tuple[bool | None, str]:
    """Whether all results in a step are counts."""
    results = [int(result) for result in re.findall(r"= ?(-?\d+)", step)]
    if not results:
        return None, "no result"
    return min(results) >= 0, f"the least result is {min(results)}"


nothing_negative.calculation = True  # type: ignore[attr-defined]


def main() -> None:
    """Solve, and show what was said about each step."""
    chain = QStarChain(checks=["arithmetic", nothing_negative])
    solution = chain.invoke(QUESTION)
    for step in solution.steps:
        said = ", ".join(f"{check.name}: {check.verdict}" for check in step.checks)
        print(f"{step.text.strip()}  [{said}]")
    closed = sum(node.closed is not None for node in solution.tree)
    print(f"steps pruned: {closed}; calculations: {solution.calculations}")


if __name__ == "__main__":
    main()
