"""Samples of a model, drawn as the product draws them, in rows that can be added to."""

from __future__ import annotations

import asyncio
import base64
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from langchain_qstar.baselines.sampling import SamplingParameters
from langchain_qstar.evaluation.banks import Asked, Kept, reread, restored
from langchain_qstar.evaluation.recording import tell
from langchain_qstar.evaluation.rows import add_rows, read_rows
from langchain_qstar.protocols import Policy, Task
from langchain_qstar.solution import Sample
from real_models.files import product_version
from real_models.stepwise import Drawn, drawn

Record = dict[str, Any]

AT_ONCE: Final = 128
"""Samples in flight; a kill loses the questions that are not finished."""


def kept(rows: Sequence[Record]) -> dict[str, dict[int, Kept]]:
    """Samples by question and number; of two with one number the first."""
    found: dict[str, dict[int, Kept]] = defaultdict(dict)
    for row in rows:
        found[row["id"]].setdefault(row["number"], restored(row["sample"]))
    return found


def missing(
    questions: Sequence[Record], known: dict[str, dict[int, Kept]], samples: int
) -> Iterator[tuple[Record, list[int]]]:
    """Questions with the numbers of the samples that they still need."""
    for each in questions:
        numbers = [n for n in range(samples) if n not in known.get(each["id"], {})]
        if numbers:
            yield each, numbers


def banked(
    questions: Sequence[Record], known: dict[str, dict[int, Kept]], samples: int, task: Task
) -> tuple[Asked, ...]:
    """Questions with the first of their samples, as a bank has them, read as they are today."""
    return tuple(
        reread(
            Asked(
                id=each["id"],
                question=each["question"],
                gold=task.gold(each["answer"]) or each["answer"],
                samples=tuple(known[each["id"]][number] for number in range(samples)),
            ),
            task,
        )
        for each in questions
    )


async def draw(
    policy: Policy,
    task: Task,
    questions: Sequence[Record],
    samples: int,
    *,
    parameters: SamplingParameters,
    rows: Path,
    hidden: bool = False,
) -> None:
    """Draw what is missing; a question's samples are written as soon as all have ended.

    With `hidden` rows keep the hidden states at the ends of steps, too.
    """
    wanted = list(missing(questions, kept(read_rows(rows)), samples))
    largest = max((len(numbers) for _, numbers in wanted), default=1)
    room = asyncio.Semaphore(max(1, AT_ONCE // largest))
    left = len(wanted)

    async def one(record: Record, numbers: Sequence[int]) -> None:
        nonlocal left
        question = record["question"]
        async with room:
            found = await asyncio.gather(
                *(drawn(policy, task, question, n, parameters, hidden=hidden) for n in numbers)
            )
        told = [
            _row(record, number, each)
            for number, each in zip(numbers, found, strict=True)
            if each.finish not in ("error", "cancelled")
        ]
        add_rows(rows, told)
        left -= 1
        tell(f"{record['id']}: {len(told)} samples; {left} questions left")

    await asyncio.gather(*(one(*each) for each in wanted))


def _row(record: Record, number: int, one: Drawn) -> Record:
    row = {
        "id": record["id"],
        "number": number,
        "version": product_version(),
        "sample": _kept(one).stored(),
    }
    if one.hidden is not None:
        row["hidden"] = base64.b85encode(one.hidden.tobytes()).decode("ascii")
    return row


def _kept(one: Drawn) -> Kept:
    """What a bank keeps of a solution, before its answer is read."""
    logprobs = [value for step in one.steps for value in step.logprobs]
    sample = Sample(
        text="".join(step.text for step in one.steps),
        finish=one.finish,
        completion_tokens=one.generated,
        logprob=round(sum(logprobs), 4) if logprobs else None,
    )
    return Kept(sample, one.line, one.line_tokens, one.steps)
