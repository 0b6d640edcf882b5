"""From drawn steps to what `qstar train` reads: labels, and the hidden states beside them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from langchain_qstar.evaluation.banks import restored
from langchain_qstar.evaluation.grading import grade
from langchain_qstar.models.engine.policy import LocalPolicy
from langchain_qstar.protocols import State, Task
from langchain_qstar.scoring.identity import identity_of
from langchain_qstar.training.examples import Example
from langchain_qstar.training.hidden_states import HiddenStates
from langchain_qstar.training.label_file import FORMAT, LabelledQuestion, open_labels
from langchain_qstar.training.rollouts import LabelSettings
from langchain_qstar.training.step_tree import QUESTION, StepTree
from real_models.stepwise import answered

Record = dict[str, Any]


def write_labels(
    policy: LocalPolicy,
    task: Task,
    questions: Sequence[Record],
    rows: Iterable[Record],
    *,
    settings: LabelSettings,
    out: Path,
    features: Path,
) -> tuple[int, int]:
    """Add what was drawn of these questions to labels, with hidden states in `features`.

    Returns:
        How many questions were added, and of how many some samples are right and some wrong.
    """
    drawn: dict[str, list[Record]] = {}
    for row in rows:
        drawn.setdefault(row["id"], []).append(row)
    header = {
        "format": FORMAT,
        "policy": identity_of(policy),
        "completer": None,
        "task": task.name,
        **({"prompts": task.prompts} if task.prompts else {}),
        **asdict(settings),
    }
    done = {each.question for each in open_labels(out, header).questions}
    kept = HiddenStates.open(policy, (-1,), features, identity_of(policy))
    mixed = written = 0
    with out.open("a", encoding="utf-8") as file:
        for each in questions:
            if each["id"] not in drawn or each["question"] in done:
                continue
            labelled, hidden = _labelled(each, drawn[each["id"]], task)
            file.write(labelled.to_json() + "\n")
            example = Example(labelled, task)
            if hidden:
                kept.keep(example, np.stack([hidden[number] for number in example.rows]))
            written, mixed = written + 1, mixed + labelled.mixed
    return written, mixed


def _labelled(
    record: Record, rows: Sequence[Record], task: Task
) -> tuple[LabelledQuestion, dict[int, Any]]:
    """The steps of a question, counted, and the hidden states after each by its number."""
    tree = StepTree(State(record["question"], task.messages(record["question"])))
    hidden: dict[int, Any] = {}
    gold = task.right_answer(record["answer"])
    for row in sorted(rows, key=lambda row: row["number"]):
        kept = restored(row["sample"])
        steps = kept.steps
        if not steps:
            continue
        answer = answered(kept, task)
        numbers = tree.extend(QUESTION, steps, ends=answer is not None)
        right = answer is not None and grade(answer, gold, task) == "right"
        tree.count(numbers, right=right)
        tree.tokens += kept.tokens
        tree.completions += 1 + (kept.line is not None)
        if "hidden" in row:
            flat = np.frombuffer(base64.b85decode(row["hidden"]), dtype=np.float16)
            states = flat.astype(np.float32).reshape(len(steps), -1)
            hidden |= dict(zip(numbers, states, strict=True))
    return tree.labelled(), hidden
