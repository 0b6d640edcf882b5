"""`qstar label`: labels for many questions, in a file that survives being killed.

As many questions are in flight as keep the engine full, and each is written as soon as its
own completions are there. Gold answers are seen by the grader alone.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from langchain_qstar.errors import InputError, LabelError, SettingsError
from langchain_qstar.nodes.root import check_question
from langchain_qstar.protocols import Completion, Policy, Task
from langchain_qstar.scoring.identity import identity_of
from langchain_qstar.training.label_file import (
    FORMAT,
    LabelFile,
    LabelledQuestion,
    open_labels,
    read_labels,
)
from langchain_qstar.training.progress import Budget, Progress, Tally
from langchain_qstar.training.questions import GradedQuestion
from langchain_qstar.training.rollouts import Labeller, Labelling, LabelSettings
from langchain_qstar.training.searches import Searches

_ROWS: Final = 24
"""Completions in flight where a policy does not say how many keep it busy."""

_STRAGGLERS: Final = 1.5
"""Completions in flight for every one that fits: while some wait for their question's longest,
others fill the rows."""

STEPS: Final = 8
"""Steps of a solution, about, each of which `by="completions"` completes."""


def collect_labels(
    questions: Sequence[GradedQuestion],
    policy: Policy,
    task: Task,
    out: Path,
    settings: LabelSettings | None = None,
    *,
    completer: Policy | None = None,
    q_model: Any = "default",
    skip_bad: bool = False,
    max_tokens: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> LabelFile:
    """Label the questions that `out` does not hold yet, and append each to it as it ends.

    Args:
        questions: Each is worked on once, however often it is there.
        policy: Whose steps are labelled.
        task: How questions are prompted and graded.
        out: The file, new or interrupted. Its lines are in the order in which questions ended.
        settings: How labels are made.
        completer: Who completes steps, with `by="completions"`; default the policy.
        q_model: What guides the searches, with `trajectories="qstar"`.
        skip_bad: Leave out questions that cannot be asked or graded, and damaged lines of
            `out`.
        max_tokens: Of all of the file, at least 1. No question is begun that would pass it,
            going by those that ended; what was begun is ended.
        progress: Called after every question.

    Returns:
        All that the file holds now.

    Raises:
        LabelError: A question cannot be asked, the task cannot read its gold answer, or
            `out` is damaged or was made with another policy or settings. Nothing was
            drawn yet.
        SettingsError: `max_tokens` is below 1.
        ModelError: A model failed; what was done is in the file.
    """
    collecting = acollect_labels(
        questions,
        policy,
        task,
        out,
        settings,
        completer=completer,
        q_model=q_model,
        skip_bad=skip_bad,
        max_tokens=max_tokens,
        progress=progress,
    )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(collecting)
    # A caller in a loop of its own, such as a notebook, is to wait for ours.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, collecting).result()


async def acollect_labels(
    questions: Sequence[GradedQuestion],
    policy: Policy,
    task: Task,
    out: Path,
    settings: LabelSettings | None = None,
    *,
    completer: Policy | None = None,
    q_model: Any = "default",
    skip_bad: bool = False,
    max_tokens: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> LabelFile:
    """As `collect_labels`; cancelling it frees the models at the next token."""
    if max_tokens is not None and max_tokens < 1:
        raise SettingsError(f"max_tokens is {max_tokens}; it must be at least 1")
    settings = settings or LabelSettings()
    askable = _askable(questions, policy, task, skip_bad=skip_bad)
    header = _header(policy, completer, task, settings)
    wanted = {each.question for each in askable}
    before = open_labels(out, header, skip_bad=skip_bad).questions
    tally = Tally(len(askable), [each for each in before if each.question in wanted])
    done = {each.question for each in before}
    missing = iter([each for each in askable if each.question not in done])
    search = None
    if settings.trajectories != "sampling":
        search = Searches(policy, task, settings, q_model)
    source = _Source(policy, completer or policy, task, settings, search)
    budget = Budget(max_tokens, settings.samples * task.solution_tokens, tally)
    with out.open("a", encoding="utf-8") as file:

        async def work() -> None:
            while budget.begins() and (question := next(missing, None)) is not None:
                with budget.running():
                    labelled = await source.labelled(question)
                # Nothing is awaited in here, so lines of others do not come between.
                file.write(labelled.to_json() + "\n")
                file.flush()
                tally.add(labelled)
                if progress:
                    progress(tally.progress())

        begun = tally.done
        await _together([work() for _ in range(_in_flight(policy, settings))])
    if progress and tally.done == begun < tally.total:
        progress(tally.progress())  # the budget was spent before
    return read_labels(out, skip_bad=skip_bad)


async def _together(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all to their ends; when one fails, the others are cancelled first."""
    tasks = [asyncio.ensure_future(each) for each in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _in_flight(policy: Policy, settings: LabelSettings) -> int:
    """How many questions at once keep the engine full."""
    rows = getattr(policy, "full_rows", 0) or _ROWS
    asked = settings.samples
    if settings.by == "completions":
        asked *= STEPS * settings.completions
    return max(1, math.ceil(_STRAGGLERS * rows / asked))


def _header(
    policy: Policy, completer: Policy | None, task: Task, settings: LabelSettings
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "policy": identity_of(policy),
        "completer": None if completer is None else completer.name,
        "task": task.name,
        **({"prompts": task.prompts} if task.prompts else {}),
        **asdict(settings),
    }


def _askable(
    questions: Sequence[GradedQuestion], policy: Policy, task: Task, *, skip_bad: bool
) -> list[GradedQuestion]:
    found: dict[str, GradedQuestion] = {}
    for number, question in enumerate(questions, start=1):
        try:
            check_question(question.question, policy, task)
            task.right_answer(question.answer)
        except InputError as error:
            if skip_bad:
                continue
            where = question.source or f"question {number}"
            raise LabelError(f"{where}: {error} (or pass --skip-bad)") from None
        found.setdefault(question.question, question)
    return list(found.values())


@dataclass(frozen=True)
class _Source:
    """Who draws, and how."""

    policy: Policy
    completer: Policy
    task: Task
    settings: LabelSettings
    search: Searches | None

    async def labelled(self, question: GradedQuestion) -> LabelledQuestion:
        is_right = _grader(question.answer, self.task)
        tree = None
        if self.search is not None:
            tree = await self.search.tree(question.question, is_right)
        labeller = Labeller(self.policy, self.completer, self.task, self.settings, is_right)
        return await drive(labeller.label(question.question, tree))


def _grader(gold: str, task: Task) -> Callable[[str], bool]:
    right = task.right_answer(gold)

    def is_right(text: str) -> bool:
        answer, _ = task.read(text)
        return answer is not None and task.equivalent(answer, right)

    return is_right


async def drive(labelling: Labelling) -> LabelledQuestion:
    """Run one question to its end, with what it asks of models."""
    drawn: list[list[Completion]] | None = None
    while True:
        try:
            asked = next(labelling) if drawn is None else labelling.send(drawn)
        except StopIteration as end:
            labelled: LabelledQuestion = end.value
            return labelled
        drawn = await asked.policy.asample(asked.requests)
