"""`qstar label`: labels for many questions, in a file that survives being killed.

Questions are worked on together, about `ROWS` completions at a time, and each is
written as soon as it is done. Gold answers are seen by the grader alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from langchain_qstar.chains import QStarChain, RStarChain
from langchain_qstar.errors import InputError, LabelError
from langchain_qstar.nodes.root import check_question
from langchain_qstar.protocols import Completion, Policy, State, Step, Task
from langchain_qstar.qstar import superstep_limit
from langchain_qstar.rstar import rstar_superstep_limit
from langchain_qstar.scoring.identity import identity_of
from langchain_qstar.training.label_file import (
    FORMAT,
    LabelFile,
    LabelledQuestion,
    open_labels,
    read_labels,
)
from langchain_qstar.training.questions import GradedQuestion
from langchain_qstar.training.rollouts import Asked, Labeller, Labelling, LabelSettings
from langchain_qstar.training.step_tree import QUESTION, StepTree
from langchain_qstar.tree import ROOT, NodeRecord, Nodes, path

ROWS: Final = 384
"""Completions drawn together, about."""

STEPS: Final = 8
"""Steps of a solution, about, each of which `by="completions"` completes."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a collection is: questions done and in all, and what this run spent."""

    done: int
    total: int
    tokens: int
    completions: int


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
    progress: Callable[[Progress], None] | None = None,
) -> LabelFile:
    """Label the questions that `out` does not hold yet, and append them to it.

    Args:
        questions: Each is worked on once, however often it is there.
        policy: Whose steps are labelled.
        task: How questions are prompted and graded.
        out: The file, new or interrupted.
        settings: How labels are made.
        completer: Who completes steps, with `by="completions"`; default the policy.
        q_model: What guides the searches, with `trajectories="qstar"`.
        skip_bad: Leave out questions that cannot be asked or graded, and damaged lines of
            `out`.
        progress: Called after every question.

    Returns:
        All that the file holds now.

    Raises:
        LabelError: A question cannot be asked, the task cannot read its gold answer, or
            `out` is damaged or was made with another policy or settings. Nothing was
            drawn yet.
        ModelError: A model failed; what was done is in the file.
    """
    settings = settings or LabelSettings()
    askable = _askable(questions, policy, task, skip_bad=skip_bad)
    header = _header(policy, completer, task, settings)
    done = {each.question for each in open_labels(out, header, skip_bad=skip_bad).questions}
    missing = [question for question in askable if question.question not in done]
    source = _Source(policy, completer or policy, task, settings, q_model)
    spent, finished = [0, 0], len(askable) - len(missing)
    with out.open("a", encoding="utf-8") as file:
        for chunk in _chunks(missing, settings):
            for labelled in source.labelled(chunk):
                file.write(labelled.to_json() + "\n")
                file.flush()
                finished += 1
                spent = [spent[0] + labelled.tokens, spent[1] + labelled.completions]
                if progress:
                    progress(Progress(finished, len(askable), *spent))
    return read_labels(out, skip_bad=skip_bad)


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


def _chunks(
    questions: Sequence[GradedQuestion], settings: LabelSettings
) -> Iterator[Sequence[GradedQuestion]]:
    rows = settings.samples
    if settings.by == "completions":
        rows *= STEPS * settings.completions
    size = max(1, ROWS // rows)
    for start in range(0, len(questions), size):
        yield questions[start : start + size]


@dataclass(frozen=True, slots=True)
class _Source:
    """Who draws, and how."""

    policy: Policy
    completer: Policy
    task: Task
    settings: LabelSettings
    q_model: Any

    def labelled(self, chunk: Sequence[GradedQuestion]) -> Iterator[LabelledQuestion]:
        trees: Sequence[StepTree | None] = [None] * len(chunk)
        if self.settings.trajectories != "sampling":
            trees = self._searched(chunk)
        yield from drive(
            [
                Labeller(
                    self.policy,
                    self.completer,
                    self.task,
                    self.settings,
                    _grader(each.answer, self.task),
                ).label(each.question, tree)
                for each, tree in zip(chunk, trees, strict=True)
            ]
        )

    def _searched(self, chunk: Sequence[GradedQuestion]) -> list[StepTree]:
        """The trees of searches, with a count for every trajectory in them.

        Of Q* these are the complete states, as often as each was sampled; of Monte Carlo tree
        search the ends of its rollouts, as often as one ended there.
        """
        by_q = self.settings.trajectories == "qstar"
        graph, limit = self._by_q() if by_q else self._by_rollouts()
        starts = [{"question": each.question, "seed": self.settings.seed} for each in chunk]
        keys = ["nodes", "usage", *(() if by_q else ("ended",))]
        return [
            _tree_of(
                found["nodes"],
                found["usage"],
                _complete(found["nodes"]) if by_q else Counter(found["ended"]),
                _grader(each.answer, self.task),
                self.task,
            )
            for each, found in zip(
                chunk,
                graph.batch(starts, {"recursion_limit": limit}, output_keys=keys),
                strict=True,
            )
        ]

    def _by_q(self) -> tuple[Any, int]:
        chain = QStarChain(
            self.policy,
            self.q_model,
            task=self.task,
            settings={
                "num_trajectories": self.settings.samples,
                "temperature": self.settings.temperature,
            },
        )
        return chain.graph, superstep_limit(chain.settings)

    def _by_rollouts(self) -> tuple[Any, int]:
        """The tree search of rStar with single steps alone; it sees no gold answer."""
        settings: dict[str, Any] = {
            "actions": ("propose_step",),
            "num_rollouts": self.settings.samples,
            "temperature": self.settings.temperature,
            "verify": "never",
            "fallback": False,
        }
        chain = RStarChain(self.policy, task=self.task, settings=settings)
        return chain.graph, rstar_superstep_limit(chain.settings)


def _grader(gold: str, task: Task) -> Callable[[str], bool]:
    right = task.right_answer(gold)

    def is_right(text: str) -> bool:
        answer, _ = task.read(text)
        return answer is not None and task.equivalent(answer, right)

    return is_right


def drive(labellings: Sequence[Labelling]) -> Iterator[LabelledQuestion]:
    """Run questions together: what all of them ask of one model is one batch.

    Yields:
        Each question as soon as it is done.
    """
    waiting: list[tuple[Labelling, Asked]] = []
    for labelling in labellings:
        yield from _advance(labelling, None, waiting)
    while waiting:
        turn, waiting = waiting, []
        for policy in {id(asked.policy): asked.policy for _, asked in turn}.values():
            asking = [each for each in turn if each[1].policy is policy]
            answers = iter(policy.sample([r for _, asked in asking for r in asked.requests]))
            for labelling, asked in asking:
                drawn = [next(answers) for _ in asked.requests]
                yield from _advance(labelling, drawn, waiting)


def _advance(
    labelling: Labelling,
    drawn: list[list[Completion]] | None,
    waiting: list[tuple[Labelling, Asked]],
) -> Iterator[LabelledQuestion]:
    try:
        asked = next(labelling) if drawn is None else labelling.send(drawn)
    except StopIteration as end:
        yield end.value
    else:
        waiting.append((labelling, asked))


def _complete(nodes: Nodes) -> dict[str, int]:
    """The complete states, and how often each was sampled."""
    return {each["id"]: each["samples"] for each in nodes.values() if each["terminal"]}


def _tree_of(
    nodes: Nodes,
    usage: dict[str, float],
    ends: Mapping[str, int],
    is_right: Callable[[str], bool],
    task: Task,
) -> StepTree:
    question = nodes[ROOT]["run"]["question"]
    tree = StepTree(
        State(question, task.messages(question)),
        tokens=int(usage.get("completion_tokens", 0)),
        completions=int(usage.get("completions", 0)),
    )
    for record in nodes.values():
        records = path(nodes, record["id"])
        numbers = tree.extend(QUESTION, [_step(each) for each in records], ends=record["terminal"])
        if times := ends.get(record["id"], 0):
            text = "".join(each["text"] for each in records)
            whole = record["terminal"] or task.is_terminal(text)
            tree.count(numbers, right=whole and is_right(text), times=times)
    return tree


def _step(record: NodeRecord) -> Step:
    ids = record["token_ids"]
    return Step(
        record["text"],
        token_ids=None if ids is None else tuple(ids),
        logprobs=tuple(record["logprobs"]),
    )
