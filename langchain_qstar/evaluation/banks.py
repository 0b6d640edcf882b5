"""Banks: many sampled solutions of many questions, kept so that figures are replays of them.

A bank is JSON lines, compressed: what it is of, then a line for each question. Nothing
about it needs a model, and it holds what is needed to grade it.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from langchain_qstar.baselines.sampled import sampled
from langchain_qstar.checks.running import StepChecks, resolve_checks
from langchain_qstar.errors import InputError
from langchain_qstar.protocols import Completion, State, Step, Task
from langchain_qstar.solution import Sample

LARGEST: Final = 3_000_000
"""Bytes of a bank that is kept in the repository."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A sample of a bank.

    Attributes:
        sample: What was drawn, with the answer that the whole has.
        line: What it went on with when it had ended without an answer and was asked for it
            (`nodes.concluding`), None where it was not.
        line_tokens: Tokens generated for that line.
        steps: What the text was drawn in, a step at a time, with ids and log-probabilities;
            empty where it was drawn as a whole.
    """

    sample: Sample
    line: str | None = None
    line_tokens: int = 0
    steps: tuple[Step, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens generated for all of it."""
        return self.sample.completion_tokens + self.line_tokens

    def stored(self) -> dict[str, Any]:
        """As JSON; `restored` reads it."""
        told: dict[str, Any] = self.sample.model_dump(exclude_defaults=True)
        line = {} if self.line is None else {"line": self.line, "line_tokens": self.line_tokens}
        steps = {"steps": [_told(step) for step in self.steps]} if self.steps else {}
        return told | line | steps


def _told(step: Step) -> list[Any]:
    """A step without its text, which the sample has: its length, ids and log-probabilities."""
    logprobs = [round(value, 4) for value in step.logprobs]
    return [len(step.text), list(step.token_ids or ()), logprobs]


def _steps(text: str, told: Sequence[tuple[int, list[int], list[float]]]) -> Iterator[Step]:
    at = 0
    for length, ids, logprobs in told:
        yield Step(text[at : at + length], token_ids=tuple(ids), logprobs=tuple(logprobs))
        at += length


def restored(told: dict[str, Any]) -> Kept:
    """The sample that `Kept.stored` told."""
    own = ("line", "line_tokens", "steps")
    sample = Sample(**{name: value for name, value in told.items() if name not in own})
    steps = tuple(_steps(sample.text, told.get("steps", ())))
    return Kept(sample, told.get("line"), told.get("line_tokens", 0), steps)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and its samples, in the order of their seeds."""

    id: str
    question: str
    gold: str
    samples: tuple[Kept, ...]


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
    """What `write_bank` wrote.

    Raises:
        InputError: There is no such file, or it holds no bank.
    """
    try:
        # As bytes: texts hold other ends of lines, which JSON keeps as they are.
        about, *lines = map(json.loads, lzma.decompress(path.read_bytes()).splitlines())
        return Bank(dict(about), tuple(map(_asked, lines)))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (lzma.LZMAError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path} holds no bank of samples; make one by --pack") from None


def _asked(line: dict[str, Any]) -> Asked:
    samples = tuple(map(restored, line["samples"]))
    return Asked(line["id"], line["question"], line["gold"], samples)


def _line(asked: Asked) -> dict[str, Any]:
    samples = [each.stored() for each in asked.samples]
    return {"id": asked.id, "question": asked.question, "gold": asked.gold, "samples": samples}


def reread(asked: Asked, task: Task) -> Asked:
    """A question whose samples have the answers and failed checks that their texts have today.

    A text that was cut has an answer only if it is complete; what follows a complete solution
    is not read, and a line only where the text before it has no answer.
    """
    checks = resolve_checks(None, task)
    samples = (_reread(each, asked.question, task, checks) for each in asked.samples)
    return replace(asked, samples=tuple(samples))


def _reread(kept: Kept, question: str, task: Task, checks: StepChecks) -> Kept:
    sample = kept.sample
    found = sampled(Completion(sample.text, finish=sample.finish), task)
    if kept.line is not None and found.answer is None and found.steps:
        found = found.concluded(Completion(kept.line), task)
    found = found.judged(State(question), checks)
    told = {"answer": found.answer, "guessed": found.guessed, "failed": found.failed}
    return replace(kept, sample=sample.model_copy(update=told))
