"""Banks: many sampled solutions of many questions, kept so that figures are replays of them.

A bank is JSON lines, compressed: what it is of, then a line for each question. Nothing
about it needs a model, and it holds what is needed to grade it.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from langchain_qstar.checks.running import StepChecks, resolve_checks
from langchain_qstar.models.steps import split_steps
from langchain_qstar.protocols import Completion, State, Step, Task
from langchain_qstar.solution import Sample

LARGEST: Final = 3_000_000
"""Bytes of a bank that is kept in the repository."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and its samples, in the order of their seeds."""

    id: str
    question: str
    gold: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Bank:
    """Samples of many questions, and what they are of.

    `about` says by which model, prompt, temperature and commit; see `benchmarks/pool.py`.
    """

    about: dict[str, Any]
    questions: tuple[Asked, ...]

    @property
    def size(self) -> int:
        """Samples that every question has at least."""
        return min((len(each.samples) for each in self.questions), default=0)


def write_bank(path: Path, bank: Bank) -> int:
    """Write a bank; the same bank makes the same file.

    Returns:
        The size of the file in bytes.
    """
    lines = [bank.about, *(_line(each) for each in bank.questions)]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.write_bytes(lzma.compress(text.encode("utf-8"), preset=9 | lzma.PRESET_EXTREME))


def read_bank(path: Path) -> Bank:
    """What `write_bank` wrote."""
    # As bytes: texts hold other ends of lines, which JSON keeps as they are.
    about, *lines = map(json.loads, lzma.decompress(path.read_bytes()).splitlines())
    questions = (
        Asked(
            id=line["id"],
            question=line["question"],
            gold=line["gold"],
            samples=tuple(Sample(**each) for each in line["samples"]),
        )
        for line in lines
    )
    return Bank(about, tuple(questions))


def _line(asked: Asked) -> dict[str, Any]:
    samples = [each.model_dump(exclude_defaults=True) for each in asked.samples]
    return {"id": asked.id, "question": asked.question, "gold": asked.gold, "samples": samples}


def judged(samples: Sequence[Sample], question: str, task: Task) -> tuple[Sample, ...]:
    """Samples with the answers and failed checks that their texts have today.

    Args:
        samples: Of which only text and finish are read. A text that was cut has an answer
            only if it is complete; what follows a complete solution is not read.
        question: What was asked.
        task: How texts are cut into steps, read and checked.
    """
    checks = resolve_checks(None, task)
    return tuple(_judged(each, question, task, checks) for each in samples)


def _judged(sample: Sample, question: str, task: Task, checks: StepChecks) -> Sample:
    steps = split_steps(Completion(sample.text), task)
    text = "".join(step.text for step in steps)
    ended = sample.finish in ("stop", "eos") or task.is_terminal(text)
    answer, guessed = task.read(text) if ended else (None, False)
    failed = _fails(State(question), steps, checks)
    return sample.model_copy(update={"answer": answer, "guessed": guessed, "failed": failed})


def _fails(state: State, steps: Sequence[Step], checks: StepChecks) -> bool:
    for step in steps:
        if any(each.verdict == "failed" for each in checks.judge(state, step.text)):
            return True
        state = state.then(step)
    return False
