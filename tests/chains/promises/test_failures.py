"""A model that fails: the error is its own, the thread goes on where it was, once it works."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from langchain_qstar.errors import ModelError
from langchain_qstar.models.scripted import ScriptedPolicy

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}


class Failing(ScriptedPolicy):
    """Fails at one of its calls, once."""

    def __init__(self, script: Any, fails_at: int) -> None:
        super().__init__(script)
        self.left = fails_at

    def sample(self, requests: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise ModelError("out of memory")
        return super().sample(requests)


@pytest.mark.parametrize("fails_at", [1, 2, 4])
def test_after_a_failure_the_same_call_goes_on_and_asks_no_state_again(
    make, fresh, saver, grown, repeated, fails_at
):
    reference = fresh()
    whole = grown(make(reference).invoke("q"))
    policy = Failing(fresh()._script, fails_at)
    with pytest.raises(ModelError, match="out of memory"):
        make(policy, saver).invoke("q", THREAD)
    assert grown(make(policy, saver).invoke("q", THREAD)) == whole
    assert sum(repeated(policy, reference).values()) <= 3  # of the superstep that failed


async def test_without_blocking_too(make, fresh, grown):
    policy, memory = Failing(fresh()._script, 3), InMemorySaver()
    with pytest.raises(ModelError, match="out of memory"):
        await make(policy, memory).ainvoke("q", THREAD)
    assert grown(await make(policy, memory).ainvoke("q", THREAD)) == grown(make().invoke("q"))


def test_of_a_batch_one_failure_is_one_and_the_others_are_answered(make, fresh):
    chain = make(Failing(fresh()._script, 5))
    config: RunnableConfig = {"max_concurrency": 1}
    found = chain.batch(["q", "r", "s"], config, return_exceptions=True)
    assert [isinstance(each, ModelError) for each in found].count(True) == 1
    assert [each.answer for each in found if not isinstance(each, ModelError)] == [
        make().invoke(question).answer for question in ("r", "s")
    ]
