"""Many searches on one engine: none waits for ever, order is kept, and memory is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

import langchain_qstar
from langchain_qstar.chains import QStarChain
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.solution import Solution
from langchain_qstar.tasks import get_task

MANY = 64
PATIENCE = 1200
"""Seconds after which a deadlock is one."""

ROOM = 4_000_000
"""Bytes of keys and values that the engine may keep beside those of running rows."""

QUESTIONS = [
    f"Ann has {number} boxes with 4 pens each. How many pens does she have?"
    for number in range(2, MANY + 2)
]


def within_patience(work: Callable[[], Any]) -> Any:
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(work).result(PATIENCE)
    finally:
        pool.shutdown(wait=False)


def found(solution: Solution) -> Any:
    """What is the same alone and in company."""
    return solution.question, solution.answer, [node.text for node in solution.tree]


class Counting(ScriptedPolicy):
    """Answers with the question's own number, and notes how many ask at once."""

    def __init__(self) -> None:
        super().__init__({})
        self.asking = self.most = self.begun = 0
        self.under_way = asyncio.Event()
        self._lock = Lock()

    def _counted(self, change: int) -> None:
        with self._lock:
            self.asking += change
            self.begun += change > 0
            if self.begun == 2 * MANY:
                self.under_way.set()
            self.most = max(self.most, self.asking)

    def sample(self, requests: Any) -> Any:
        self._counted(1)
        try:
            return [self._said(each) for each in requests]
        finally:
            self._counted(-1)

    async def asample(self, requests: Any) -> Any:
        self._counted(1)
        try:
            await asyncio.sleep(0)
        finally:
            self._counted(-1)
        return [self._said(each) for each in requests]

    def _said(self, request: Any) -> Any:
        number = int(request.state.question.split()[2])

        def script(text: str) -> list[str]:
            last = text.count("\n") == 3
            return [f"{letter}{f' 7x{number}' * last}\n" for letter in "abcdef"]

        return ScriptedPolicy(script).sample([request])[0]


ANSWERS = [f"7x{number}" for number in range(2, MANY + 2)]


def test_64_searches_at_once_end_and_their_answers_have_the_order_of_the_questions(make):
    chain = make(Counting())
    alone = [found(chain.invoke(each)) for each in QUESTIONS]
    assert [answer for _, answer, _ in alone] == ANSWERS
    at_once = within_patience(lambda: chain.batch(QUESTIONS, {"max_concurrency": MANY}))
    assert [found(each) for each in at_once] == alone


async def test_64_searches_on_one_event_loop_too(make):
    policy = Counting()
    chain = make(policy)
    at_once = await asyncio.wait_for(
        chain.abatch(QUESTIONS, {"max_concurrency": MANY}), timeout=PATIENCE
    )
    assert [each.question for each in at_once] == QUESTIONS
    assert [each.answer for each in at_once] == ANSWERS
    assert policy.most >= MANY  # they did run at once; rStar has several actions in flight


async def test_of_64_at_once_those_that_are_cancelled_leave_the_others_as_they_are(make):
    policy = Counting()
    chain = make(policy)
    tasks = [asyncio.create_task(chain.ainvoke(each)) for each in QUESTIONS]
    await asyncio.wait_for(policy.under_way.wait(), PATIENCE)
    for task in tasks[::3]:
        task.cancel()
    ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended[::3])
    left: list[Any] = [each for number, each in enumerate(ended) if number % 3]
    assert [each.answer for each in left] == [each for n, each in enumerate(ANSWERS) if n % 3]
    assert policy.asking == 0


@pytest.mark.nano
@pytest.mark.slow
def test_64_searches_on_one_engine_with_little_room_are_those_that_ran_alone():
    from langchain_qstar.models.transformers.policy import TransformersPolicy

    folder = Path(langchain_qstar.__file__).parent / "nano"
    policy = TransformersPolicy.from_pretrained(
        folder, name="nano", device="cpu", max_rows=24, cache_bytes=ROOM
    )
    settings = {"num_samples": 2, "max_pops": 1, "fallback": False, "failed_check": "keep"}
    task = replace(get_task("nano"), step_tokens=8)
    chain = QStarChain(policy, "log-probability", task=task, settings=settings)
    scheduler = policy._scheduler
    rows: list[int] = []
    bytes_held: list[int] = []
    step = scheduler.step

    def watched() -> None:
        step()
        rows.append(len(scheduler._running))
        bytes_held.append(scheduler.tree.bytes)

    scheduler.step = watched  # type: ignore[method-assign]
    at_once = within_patience(lambda: chain.batch(QUESTIONS, {"max_concurrency": MANY}))
    company = max(rows)
    alone = [chain.invoke(each) for each in QUESTIONS[::8]]
    policy.close()
    assert [found(each) for each in at_once[::8]] == [found(each) for each in alone]
    assert [each.question for each in at_once] == QUESTIONS
    assert 2 < company <= 24
    assert scheduler.counters.evicted > 0
    assert max(bytes_held) <= 2 * ROOM  # what rows are reading now may not leave
