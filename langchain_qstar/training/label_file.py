"""Labelled steps on disk: one JSON line a question, only ever appended to.

The first line says how the labels were made; each other line holds the steps of one
question as a tree, equal prefixes once, with how many rollouts came by each step and
how many of those ended right. From these counts any label of `labels.py` follows, so
one file serves every construction. The gold answer is not in it.

A process that is killed loses at most the line it was writing: such a torn last line
is dropped by the next run, and its question is done again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from langchain_qstar.errors import LabelError
from langchain_qstar.protocols import State, Step, Task
from langchain_qstar.scoring.identity import difference
from langchain_qstar.training.questions import numbered

FORMAT: Final = "qstar-labels-1"


@dataclass(frozen=True, slots=True)
class LabelledStep:
    """One step of the tree of a question.

    Attributes:
        parent: Number of the step before it, -1 for a first step.
        text: Its text, with its terminator.
        token_ids: As in `protocols.Step`.
        logprobs: As in `protocols.Step`, rounded to 4 decimals.
        terminal: Whether the state it leads to is a complete solution.
        right: Rollouts by this step whose final answer was right.
        rollouts: Rollouts by this step, or completions from it; 0 for a step that is
            there only because others follow it, and has no label.
    """

    parent: int
    text: str
    token_ids: tuple[int, ...] | None
    logprobs: tuple[float, ...]
    terminal: bool
    right: int
    rollouts: int

    @property
    def reward(self) -> float:
        """R(s, a): 1 for a step that ends a right solution, else 0."""
        return float(self.terminal and self.right > 0)

    @property
    def step(self) -> Step:
        """As a scorer sees it."""
        return Step(self.text, token_ids=self.token_ids, logprobs=self.logprobs)


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """One line: a question, its steps (parents first), and what they cost.

    `tokens` and `completions` were generated for it, by all models together.
    """

    question: str
    steps: tuple[LabelledStep, ...]
    tokens: int = 0
    completions: int = 0

    @property
    def mixed(self) -> bool:
        """Whether a rollout was right and another wrong."""
        return self._ever(lambda step: step.right > 0) and self._ever(
            lambda step: step.right < step.rollouts
        )

    @property
    def outcomes(self) -> tuple[int, int]:
        """How many rollouts were right, and how many there were.

        Every rollout comes by one first step; where first steps have no counts, those of all
        steps are taken.
        """
        first = [step for step in self.steps if step.parent < 0 and step.rollouts]
        counted = first or self.steps
        return sum(step.right for step in counted), sum(step.rollouts for step in counted)

    def _ever(self, holds: Callable[[LabelledStep], bool]) -> bool:
        return any(holds(step) for step in self.steps)

    def states(self, task: Task) -> list[State]:
        """The state before each step, in order."""
        root = State(self.question, task.messages(self.question))
        after: list[State] = []
        before: list[State] = []
        for step in self.steps:
            before.append(root if step.parent < 0 else after[step.parent])
            after.append(before[-1].then(step.step))
        return before

    def successors(self) -> dict[int, list[int]]:
        """Number of a step -> numbers of the steps that follow it."""
        found: dict[int, list[int]] = {}
        for number, step in enumerate(self.steps):
            found.setdefault(step.parent, []).append(number)
        return found

    def path(self, number: int) -> list[int]:
        """The numbers of the steps that lead to step `number`, itself last."""
        found: list[int] = []
        while number >= 0:
            found.append(number)
            number = self.steps[number].parent
        return found[::-1]

    def to_json(self) -> str:
        """The line, without its end."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class LabelFile:
    """What a file holds.

    Attributes:
        header: How the labels were made: `policy` (its identity), `task`, its `prompts`
            where it has some, and settings.
        questions: The labelled questions in the order of the file, each once.
        bad: Numbers of lines that were left out.
    """

    header: Mapping[str, Any]
    questions: tuple[LabelledQuestion, ...]
    bad: tuple[int, ...] = ()

    @property
    def mixed(self) -> int:
        """Questions with right and wrong rollouts, from which alone a ranking is learnt."""
        return sum(each.mixed for each in self.questions)

    @property
    def ever_right(self) -> int:
        """Questions of which a rollout was right."""
        return sum(any(step.right for step in each.steps) for each in self.questions)

    @property
    def ever_wrong(self) -> int:
        """Questions of which a rollout was wrong."""
        return sum(
            any(step.right < step.rollouts for step in each.steps) for each in self.questions
        )


def read_labels(path: Path | str, *, skip_bad: bool = False) -> LabelFile:
    """Read a whole file. A torn last line is passed over.

    Args:
        path: The file.
        skip_bad: Leave out damaged lines instead of refusing the file.

    Raises:
        LabelError: There is no such file, its first line is not a header of this
            format, or it has damaged lines; the message gives their numbers.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise LabelError(f"cannot read {path}: {error.strerror or error}") from None
    header, *lines = data[: data.rfind(b"\n") + 1].split(b"\n")[:-1] or [b""]
    found: dict[str, LabelledQuestion] = {}
    bad: list[int] = []
    for number, line in enumerate(lines, start=2):
        question = _labelled(line)
        if question is None:
            bad.append(number)
        else:
            found.setdefault(question.question, question)
    if bad and not skip_bad:
        raise LabelError(f"{path}: {numbered(bad)} damaged; pass --skip-bad to use the rest")
    return LabelFile(_header(path, header), tuple(found.values()), tuple(bad))


def open_labels(path: Path, header: Mapping[str, Any], *, skip_bad: bool = False) -> LabelFile:
    """Start a file, or make an interrupted one ready to be continued.

    Raises:
        LabelError: The file cannot be written, is damaged or holds something else, or was
            made with another model or settings.
    """
    first = (json.dumps(header) + "\n").encode()
    try:
        # A kill may have torn the first line; what does not begin as it does is not ours.
        torn = not path.exists() or first.startswith(path.read_bytes())
        if torn:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(first)
    except OSError as error:
        raise LabelError(f"cannot write {path}: {error.strerror or error}") from None
    if torn:
        return LabelFile(header, ())
    labels = read_labels(path, skip_bad=skip_bad)
    other = _other(header, labels.header)
    if other:
        raise LabelError(f"{path} was made with another {other}; choose another --out")
    with path.open("r+b") as file:  # drop a torn line
        file.truncate(file.read().rfind(b"\n") + 1)
    return labels


def check_policy(labels: LabelFile, identity: Mapping[str, Any], path: Path | str = "") -> None:
    """Refuse labels that another policy made.

    Raises:
        LabelError: They belong to another model or tokenizer.
    """
    theirs = labels.header.get("policy")
    other = difference(identity, theirs if isinstance(theirs, Mapping) else {})
    if other:
        where = f"{path}: " if path else ""
        raise LabelError(f"{where}the labels were made with another policy; it differs in {other}")


def _other(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    for name in mine:
        if name == "policy":
            other = difference(mine[name], theirs.get(name, {}))
            if other:
                return f"policy: it differs in {other}"
        elif theirs.get(name) != mine[name]:
            return f"{name} ({theirs.get(name)}, not {mine[name]})"
    return None


def _header(path: Path | str, line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise LabelError(f"{path} does not begin as a file of labels does; make it by qstar label")
    return header


def _labelled(line: bytes) -> LabelledQuestion | None:
    try:
        given = json.loads(line)
        steps = tuple(_step(number, each) for number, each in enumerate(given.pop("steps")))
        question = LabelledQuestion(
            str(given["question"]), steps, int(given["tokens"]), int(given["completions"])
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return question


def _step(number: int, given: dict[str, Any]) -> LabelledStep:
    """A step as it was read; `ValueError` if it cannot be one."""
    ids = given["token_ids"]
    step = LabelledStep(
        **given
        | {
            "token_ids": None if ids is None else tuple(map(int, ids)),
            "logprobs": tuple(map(float, given["logprobs"])),
        }
    )
    possible = -1 <= step.parent < number and 0 <= step.right <= step.rollouts
    if not (possible and isinstance(step.text, str)):
        raise ValueError("no such step can be")
    return step
