"""Samples of a model, drawn as the product draws them, in rows that can be added to."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from langchain_qstar.baselines.sampled import sampled
from langchain_qstar.evaluation.banks import Kept, restored
from langchain_qstar.evaluation.recording import tell
from langchain_qstar.evaluation.rows import add_rows, read_rows
from langchain_qstar.protocols import Completion, Policy, SampleRequest, State, Task
from langchain_qstar.seeds import sample_seed
from langchain_qstar.solution import Sample
from langchain_qstar.stepping.solutions import solution_end
from langchain_qstar.tree import ROOT
from real_models.files import product_version

Record = dict[str, Any]

TEMPERATURE: Final = 0.8
SEED: Final = 0
AT_ONCE: Final = 72
"""Samples in flight, more than decode together so that stragglers leave no rows empty; a kill
loses the questions that are not finished."""


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


async def draw(
    policy: Policy, task: Task, questions: Sequence[Record], samples: int, rows: Path
) -> None:
    """Draw what is missing; a question's samples are written as soon as all have ended."""
    wanted = list(missing(questions, kept(read_rows(rows)), samples))
    largest = max((len(numbers) for _, numbers in wanted), default=1)
    room = asyncio.Semaphore(max(1, AT_ONCE // largest))
    left = len(wanted)

    async def one(record: Record, numbers: Sequence[int]) -> None:
        nonlocal left
        async with room:
            drawn = await _drawn(policy, task, record["question"], numbers)
        told = [
            {"id": record["id"], "number": number, "version": product_version()}
            | {"sample": each.stored()}
            for number, each in zip(numbers, drawn, strict=True)
            if each.sample.finish not in ("error", "cancelled")
        ]
        add_rows(rows, told)
        left -= 1
        tell(f"{record['id']}: {len(told)} samples; {left} questions left")

    await asyncio.gather(*(one(*each) for each in wanted))


async def _drawn(policy: Policy, task: Task, question: str, numbers: Sequence[int]) -> list[Kept]:
    """Samples with the seeds of self-consistency, asked for their answers where they have none."""
    root = State(question, task.messages(question))
    seeds = [sample_seed(SEED, ROOT, number) for number in numbers]
    request = SampleRequest(
        root,
        tuple(seeds),
        stop=(),
        max_tokens=task.solution_tokens,
        temperature=TEMPERATURE,
        ends=solution_end(task),
    )
    (completions,) = await policy.asample([request])
    solutions = [sampled(each, task, policy) for each in completions]
    asking = [
        each.asking(root, task, policy, seed) for each, seed in zip(solutions, seeds, strict=True)
    ]
    asked = [each for each in asking if each is not None]
    lines = iter(await policy.asample(asked) if asked else [])
    return [
        _kept(completion, next(lines)[0] if request else None)
        for completion, request in zip(completions, asking, strict=True)
    ]


def _kept(completion: Completion, line: Completion | None) -> Kept:
    """What is kept of a completion, before its answer is read."""
    sample = Sample(
        text=completion.text,
        finish=completion.finish,
        completion_tokens=completion.generated,
        logprob=round(sum(completion.logprobs), 4) if completion.logprobs else None,
    )
    if line is None or line.finish in ("error", "cancelled"):
        return Kept(sample)
    return Kept(sample, line.text, line.generated)
