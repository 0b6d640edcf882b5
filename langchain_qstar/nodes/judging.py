"""Steps are judged while their batch still decodes: each as soon as it is written.

Judging early changes no verdict, because checks are deterministic and remembered by text
(`checks/running.py`): whoever needs a verdict asks for it as if nothing had been judged,
and waits if it is being found. What goes wrong here is left to go wrong there.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

from langchain_qstar.checks.running import StepChecks
from langchain_qstar.nodes.model_runs import SampleBatch, atraced, traced
from langchain_qstar.nodes.phase import Call, sample
from langchain_qstar.nodes.writing import asampled, audible, sampled
from langchain_qstar.protocols import Policy, SampleRequest, State

Begun: TypeAlias = tuple[State, str]
"""What a completion goes on from: a state, and the part of a step that is written after it."""


def sample_judging(
    policy: Policy,
    requests: Sequence[SampleRequest],
    begun: Sequence[Begun | None],
    checks: StepChecks,
) -> Call:
    """As `sample`, and each step is judged in a thread as soon as the policy has written it.

    The call does not wait for verdicts. A policy that tells nothing until the whole batch
    is done (`Audible`) is asked as ever.

    Args:
        policy: Who is asked.
        requests: For what.
        begun: For each request what its completions end the step of; None where they end none.
        checks: What judges.
    """
    if audible(policy) is None or not checks.names:
        return sample(policy, requests)

    def judge(number: int, text: str) -> None:
        step = begun[number]
        if step is not None and text.strip():
            state, before = step
            checks.judge(state, before + text)

    def run() -> Any:
        with _handed_to(judge) as finished:
            return sampled(policy, requests, finished)

    async def arun() -> Any:
        with _handed_to(judge) as finished:
            return await asampled(policy, requests, finished)

    batch = SampleBatch(policy, requests)
    return Call(lambda: traced(batch, run), lambda: atraced(batch, arun))


@contextmanager
def _handed_to(judge: Callable[[int, str], None]) -> Iterator[Callable[[int, str], None]]:
    """What only hands on what it is told, for a model must not wait; a thread judges it.

    What was told before the end is judged after it all the same: it will be asked for.
    """
    told: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()

    def judge_all() -> None:
        while (each := told.get()) is not None:
            # Raised again, by the same check on the same step, where the verdict is needed.
            with suppress(Exception):
                judge(*each)

    # A daemon, so that a check that hangs does not keep the process from ending.
    threading.Thread(target=judge_all, name="checks", daemon=True).start()
    try:
        yield lambda number, text: told.put((number, text))
    finally:
        told.put(None)
