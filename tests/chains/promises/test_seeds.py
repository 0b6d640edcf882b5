"""Questions that share a seed draw unlike samples; one question draws the same ones again."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar import (
    BestOfNChain,
    GreedyChain,
    ScriptedPolicy,
    ScriptedScorer,
    SelfConsistencyChain,
)

STEPS = {"": ["3 + 4 = 7\n"], "3 + 4 = 7\n": ["The answer is 7.\n", "So 7 it is.\n"]}
SCORER = ScriptedScorer({}, default=0.5)
BASELINES: dict[str, Any] = {
    "self-consistency": lambda policy: SelfConsistencyChain(policy, task="gsm8k", n=3),
    "best-of-n": lambda policy: BestOfNChain(policy, SCORER, task="gsm8k", n=3),
    "greedy": lambda policy: GreedyChain(policy, task="gsm8k"),
}


def drawn(make: Any, question: str, seed: int) -> list[int]:
    policy = ScriptedPolicy(STEPS)
    make(policy).invoke(question, seed=seed)
    return [each for batch in policy.calls for request in batch for each in request.seeds]


@pytest.mark.parametrize("method", BASELINES)
def test_so_does_a_baseline(method):
    draws_by_the_question_and_the_seed(BASELINES[method])


def test_every_machine_draws_by_the_question_and_the_seed_and_no_number_twice(make):
    draws_by_the_question_and_the_seed(make)


def draws_by_the_question_and_the_seed(make: Any) -> None:
    one = drawn(make, "How many is 3 and 4?", 5)
    assert one == drawn(make, "How many is 3 and 4?", 5)
    assert not {*one} & {*drawn(make, "How many is 4 and 3?", 5)}
    assert not {*one} & {*drawn(make, "How many is 3 and 4?", 6)}
    assert one
    assert len({*one}) == len(one)
