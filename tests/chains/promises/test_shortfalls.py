"""What a model falls short of is said in the result, by every method, however it is called."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar import (
    BestOfNChain,
    GreedyChain,
    ScriptedPolicy,
    ScriptedScorer,
    SelfConsistencyChain,
    Solution,
)

BASELINES: dict[str, Any] = {
    "greedy": lambda policy: GreedyChain(policy, task="gsm8k"),
    "self-consistency": lambda policy: SelfConsistencyChain(policy, task="gsm8k", n=2),
    "best-of-n": lambda policy: BestOfNChain(
        policy, ScriptedScorer({}, default=0.5), task="gsm8k", n=2
    ),
}


class ShortPolicy(ScriptedPolicy):
    """Says what it falls short of."""

    def __init__(self, script: Any, *shortfalls: str) -> None:
        super().__init__(script)
        self.shortfalls = shortfalls


async def shown(chain: Any) -> set[tuple[str, ...]]:
    """The shortfalls of every form of call, without those that the method tells of itself."""
    solutions = [
        chain.invoke("q"),
        await chain.ainvoke("q"),
        list(chain.stream("q"))[-1],
        [each async for each in chain.astream("q")][-1],
        chain.batch(["q"])[0],
    ]
    for each in solutions:
        assert Solution.model_validate_json(each.model_dump_json()) == each
    return {tuple(one for one in each.usage.shortfalls if len(one) == 1) for each in solutions}


async def test_what_a_policy_falls_short_of_shows_in_usage(make, fresh):
    assert await shown(make(ShortPolicy(fresh()._script, "a", "b"))) == {("a", "b")}


@pytest.mark.parametrize("method", BASELINES)
async def test_so_it_does_of_a_baseline(method, fresh):
    assert await shown(BASELINES[method](ShortPolicy(fresh()._script, "a", "b"))) == {("a", "b")}


async def test_what_policy_and_verifier_fall_short_of_shows_once(make_verified, fresh):
    policy = ShortPolicy(fresh()._script, "a", "b")
    verifier = ShortPolicy(lambda _: ["abcd7\n"], "b", "c")
    assert await shown(make_verified(policy, None, verifier)) == {("a", "b", "c")}


async def test_a_policy_that_tells_nothing_falls_short_of_nothing(make):
    assert await shown(make()) == {()}
