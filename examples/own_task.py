"""Search something that is no word problem: reach a number with a few keys.

A `Task` says how a question is prompted, where a step ends, what a complete
solution is and what its answer is. The policy here is a script that offers
every key at every state; any object with the methods of `Policy` would do.
"""

from __future__ import annotations

from collections.abc import Sequence

from langchain_qstar import QStarChain, ScriptedPolicy, State, Task

KEYS = {"double\n": lambda n: 2 * n, "add 3\n": lambda n: n + 3, "halve\n": lambda n: n // 2}
GOAL = 22


def number(text: str) -> int:
    """What the display shows after the keys in `text`, one a line."""
    shown = 1
    for line in text.splitlines(keepends=True):
        shown = KEYS[line](shown)
    return shown


def closeness(state: State, steps: Sequence[str]) -> list[float]:
    """A heuristic: near 1 where the display is near the goal."""
    return [1 / (1 + abs(GOAL - number(state.text + step))) for step in steps]


TASK = Task(
    name="keys",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.strip().replace("\n", ", "),
    is_terminal=lambda text: number(text) == GOAL,
)


def main() -> None:
    """Find keys that lead from 1 to the goal."""
    chain = QStarChain(
        ScriptedPolicy(lambda text: list(KEYS), name="keys"),
        closeness,
        task=TASK,
        settings={"num_samples": len(KEYS), "num_trajectories": 1},
    )
    solution = chain.invoke(f"The display shows 1. Which keys make it {GOAL}?")
    print(solution.answer)


if __name__ == "__main__":
    main()
