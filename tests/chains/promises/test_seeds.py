"""Questions that share a seed draw unlike samples; one question draws the same ones again."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar import (
    BestOfNChain,
    GreedyChain,
    QStarChain,
    RStarChain,
    ScriptedPolicy,
    ScriptedScorer,
    SelfConsistencyChain,
)

STEPS = {"": ["3 + 4 = 7\n"], "3 + 4 = 7\n": ["The answer is 7.\n", "So 7 it is.\n"]}
SCORER = ScriptedScorer({}, default=0.5)
CHAINS: dict[str, Any] = {
    "qstar": lambda policy: QStarChain(policy, SCORER, task="gsm8k", settings={"max_pops": 6}),
    "qstar, verified": lambda policy: QStarChain(
        policy, SCORER, task="gsm8k", settings={"max_pops": 6, "verify": "after"}
    ),
    "rstar": lambda policy: RStarChain(policy, task="gsm8k", settings={"num_rollouts": 2}),
    "self-consistency": lambda policy: SelfConsistencyChain(policy, task="gsm8k", n=3),
    "best-of-n": lambda policy: BestOfNChain(policy, SCORER, task="gsm8k", n=3),
    "greedy": lambda policy: GreedyChain(policy, task="gsm8k"),
}


def seeds_of(method: str, question: str, seed: int) -> set[int]:
    policy = ScriptedPolicy(STEPS)
    CHAINS[method](policy).invoke(question, seed=seed)
    return {each for batch in policy.calls for request in batch for each in request.seeds}


@pytest.mark.parametrize("method", CHAINS)
def test_a_seed_is_of_its_question(method):
    one, again = (seeds_of(method, "How many is 3 and 4?", 5) for _ in range(2))
    other, reseeded = (
        seeds_of(method, "How many is 4 and 3?", 5),
        seeds_of(method, "How many is 3 and 4?", 6),
    )
    assert one == again
    assert not one & (other | reseeded)
    assert one


def drawn(make: Any, question: str, seed: int, config: Any = None) -> list[int]:
    policy = ScriptedPolicy(STEPS)
    make(policy).invoke(question, config, seed=seed)
    return [each for batch in policy.calls for request in batch for each in request.seeds]


def test_every_machine_draws_by_the_question_and_the_seed_and_no_number_twice(make):
    one = drawn(make, "How many is 3 and 4?", 5)
    assert one == drawn(make, "How many is 3 and 4?", 5)
    assert not {*one} & {*drawn(make, "How many is 4 and 3?", 5)}
    assert not {*one} & {*drawn(make, "How many is 3 and 4?", 6)}
    assert len({*one}) == len(one)
