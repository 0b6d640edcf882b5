from __future__ import annotations

from functools import partial

import pytest

from langchain_qstar import (
    GreedyChain,
    QStarChain,
    RStarChain,
    ScriptedPolicy,
    Solution,
    Task,
)

TASK = Task(
    name="sums",
    messages=lambda question: (("user", question),),
    is_terminal=lambda text: "so " in text,
    answer=lambda text: text.rpartition("so ")[2].strip() or None,
)


class ShortPolicy(ScriptedPolicy):
    """Says what it falls short of."""

    def __init__(self, *shortfalls):
        super().__init__({"": ["so 5\n", "so 6\n"]}, logprob=-0.1)
        self.shortfalls = shortfalls


@pytest.mark.parametrize("chain", [GreedyChain, QStarChain, RStarChain])
async def test_what_a_policy_falls_short_of_shows_in_usage(chain):
    solver = chain(ShortPolicy("seed: not used"), task=TASK)
    for solution in (
        solver.invoke("2+3?"),
        await solver.ainvoke("2+3?"),
        list(solver.stream("2+3?"))[-1],
    ):
        assert solution.usage.shortfalls[0] == "seed: not used"
        assert Solution.model_validate_json(solution.model_dump_json()) == solution


@pytest.mark.parametrize(
    "chain",
    [partial(QStarChain, q_model=None, settings={"verify": "after"}), RStarChain],
    ids=["qstar", "rstar"],
)
def test_what_policy_and_verifier_fall_short_of_shows_once(chain):
    policy, verifier = ShortPolicy("a", "b"), ShortPolicy("b", "c")
    solution = chain(policy, verifier=verifier, task=TASK).invoke("2+3?")
    shown = [each for each in solution.usage.shortfalls if len(each) == 1]
    assert shown == ["a", "b", "c"]


def test_a_policy_that_tells_nothing_falls_short_of_nothing():
    solution = GreedyChain(ScriptedPolicy({"": ["so 5\n"]}), task=TASK).invoke("2+3?")
    assert solution.usage.shortfalls == ()
