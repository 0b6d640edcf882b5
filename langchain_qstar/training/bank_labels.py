"""Labels from a bank of samples: what was sampled once is not sampled again.

A bank (`evaluation/banks.py`) keeps the text of every sample, the line by which it was asked
for its answer, and the log-probability of the whole; neither token ids nor the
log-probability of a token. So the policy that wrote the texts tokenises them again, and reads
them again for their log-probabilities: here, or in the training that reads the hidden states
of the same texts anyway. Whether it is the policy that wrote them is told by the
log-probability of some texts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from langchain_qstar.baselines.sampled import Sampled, sampled
from langchain_qstar.errors import InputError, LabelError, SettingsError
from langchain_qstar.evaluation.banks import Asked, Bank, Kept
from langchain_qstar.evaluation.grading import grade
from langchain_qstar.protocols import Completion, Policy, State, Step, Task
from langchain_qstar.scoring.identity import TOLERANCE, ReadingPolicy, identity_of
from langchain_qstar.training.label_file import (
    FORMAT,
    LabelFile,
    LabelledQuestion,
    open_labels,
    read_labels,
)
from langchain_qstar.training.progress import Progress, Tally
from langchain_qstar.training.rescoring import rescored
from langchain_qstar.training.rollouts import LabelSettings
from langchain_qstar.training.step_tree import QUESTION, StepTree

PROBE: Final = "PROBE"
"""The question whose prompt stands for those of all, in what a bank says about itself."""

_PROBED: Final = 3
"""Texts whose log-probabilities tell whether the policy wrote them; the shortest ones."""

_PROBED_TOKENS: Final = 40
"""A shorter text tells too little."""


def label_bank(
    bank: Bank,
    policy: Policy,
    task: Task,
    out: Path,
    *,
    samples: int | None = None,
    rescore: bool = False,
    skip_bad: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> LabelFile:
    """Label the questions of a bank that `out` does not hold yet, and append them to it.

    Args:
        bank: Whole solutions, whose answers are graded anew by `task`.
        policy: Who wrote them.
        task: The one they were asked by, with the same prompts.
        out: The file, new or interrupted.
        samples: Of every question the first so many; by default all.
        rescore: Read the log-probabilities of all steps now. Otherwise a training reads them,
            in the pass that reads the hidden states.
        skip_bad: Leave out questions whose gold answer cannot be read.
        progress: Called after every question.

    Returns:
        All that the file holds now. Tokens are those that were spent on the bank.

    Raises:
        LabelError: The bank is of another policy, task or prompt, holds a gold answer that
            the task cannot read, or `out` was made from something else.
        SettingsError: `samples` is below 1.
        ModelError: The policy failed; what was done is in the file.
    """
    if samples is not None and samples < 1:
        raise SettingsError(f"samples is {samples}; take at least 1")
    _check_prompts(bank, task)
    usable = list(_usable(bank, task, skip_bad=skip_bad))
    _check_writer(bank, policy, task)
    header = _header(bank, policy, task, samples)
    before = open_labels(out, header, skip_bad=skip_bad).questions
    tally = Tally(len(usable), before)
    done = {each.question for each in before}
    with out.open("a", encoding="utf-8") as file:
        for asked in usable:
            if asked.question in done:
                continue
            done.add(asked.question)
            labelled = labelled_of(asked, policy, task, samples)
            if rescore:
                labelled = rescored(labelled, task, policy)
            file.write(labelled.to_json() + "\n")
            file.flush()
            tally.add(labelled)
            if progress:
                progress(tally.progress())
    return read_labels(out, skip_bad=skip_bad)


def labelled_of(
    asked: Asked, policy: Policy, task: Task, samples: int | None = None
) -> LabelledQuestion:
    """The steps of a question's samples, counted; their token ids where the policy can tell."""
    root = State(asked.question, task.messages(asked.question))
    tree = StepTree(root)
    for kept in asked.samples[:samples]:
        found = _solution(kept, root, policy, task)
        ends = found.answer is not None
        numbers = tree.extend(QUESTION, found.steps, ends=ends)
        tree.count(numbers, right=ends and grade(found.answer, asked.gold, task) == "right")
        tree.tokens += kept.tokens
        tree.completions += 1 + (kept.line is not None)
    return tree.labelled()


def _solution(kept: Kept, root: State, policy: Policy, task: Task) -> Sampled:
    """A sample as its steps, with the line that it was asked for."""
    text, finish = kept.sample.text, kept.sample.finish
    if kept.steps:
        return _drawn(kept, policy, task)
    ids = _ids(root, text, policy)
    zeros = None if ids is None else (0.0,) * len(ids)
    whole = Completion(text, token_ids=ids, logprobs=zeros or (), finish=finish)
    found = sampled(whole, task, policy)
    if kept.line is not None and found.answer is None and found.steps:
        found = found.concluded(Completion(kept.line), task)
    return replace(found, steps=tuple(replace(step, logprobs=()) for step in found.steps))


def _drawn(kept: Kept, policy: Policy, task: Task) -> Sampled:
    """A sample that was drawn in steps, which are known with their ids and log-probabilities."""
    whole = Completion(
        kept.sample.text,
        token_ids=tuple(id_ for step in kept.steps for id_ in step.token_ids or ()),
        logprobs=tuple(value for step in kept.steps for value in step.logprobs),
        finish=kept.sample.finish,
    )
    found = sampled(whole, task, policy)
    if kept.line is not None and found.answer is None and found.steps:
        found = found.concluded(Completion(kept.line), task)
    return found


def _ids(root: State, text: str, policy: Policy) -> tuple[int, ...] | None:
    if not isinstance(policy, ReadingPolicy) or not text:
        return None
    prompt = policy.path_ids(root)
    return policy.path_ids(root.then(Step(text)))[len(prompt) :]


def _header(bank: Bank, policy: Policy, task: Task, samples: int | None) -> dict[str, Any]:
    about = bank.about
    settings = LabelSettings(
        samples=samples or max(1, bank.size),
        temperature=float(about.get("temperature", LabelSettings.temperature)),
        seed=int(about.get("seed", 0)),
    )
    return {
        "format": FORMAT,
        "policy": identity_of(policy),
        "completer": None,
        "task": task.name,
        **({"prompts": task.prompts} if task.prompts else {}),
        **asdict(settings),
        "bank": {name: about[name] for name in ("model", "task", "split") if name in about},
    }


def _check_prompts(bank: Bank, task: Task) -> None:
    known = bank.about.get("task")
    if known is not None and known != task.name:
        raise LabelError(f"the bank is of the task {known}, not {task.name}; give --task {known}")
    digest = bank.about.get("prompt_sha256")
    prompt = json.dumps(task.messages(PROBE), ensure_ascii=False)
    if digest is not None and hashlib.sha256(prompt.encode()).hexdigest() != digest:
        raise LabelError(
            f"the bank was drawn with other prompts ({bank.about.get('prompts')}), not with "
            f"those of {task.name} ({task.prompts or 'its own'}); give the same prompts and shots"
        )


def _check_writer(bank: Bank, policy: Policy, task: Task) -> None:
    """Refuse a bank that another model drew, by how likely some of its texts are."""
    if not isinstance(policy, ReadingPolicy):
        return
    every = [(asked, kept) for asked in bank.questions for kept in asked.samples]
    told = [
        (asked, kept)
        for asked, kept in every
        if kept.sample.logprob is not None and kept.sample.completion_tokens >= _PROBED_TOKENS
    ]
    told.sort(key=lambda each: each[1].sample.completion_tokens)
    off: list[float] = []
    for asked, kept in told[:_PROBED]:
        root = State(asked.question, task.messages(asked.question))
        ids = _ids(root, kept.sample.text, policy)
        (values,) = policy.token_logprobs([root], [Step(kept.sample.text, token_ids=ids)])
        off.append(abs(sum(values) - (kept.sample.logprob or 0.0)) / max(1, len(values)))
    if off and sorted(off)[len(off) // 2] > TOLERANCE:
        raise LabelError(
            f"the bank was not drawn by this policy but by {bank.about.get('model', 'another')}: "
            f"its texts are {sorted(off)[len(off) // 2]:.2f} nats a token off; give that model"
        )


def _usable(bank: Bank, task: Task, *, skip_bad: bool) -> Iterator[Asked]:
    for number, asked in enumerate(bank.questions, start=2):
        try:
            task.right_answer(asked.gold)
        except InputError as error:
            if skip_bad:
                continue
            raise LabelError(f"line {number} of the bank: {error} (or pass --skip-bad)") from None
        yield asked
