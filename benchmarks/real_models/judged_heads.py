"""A trained head on drawn test questions, whose hidden states were kept as they were drawn."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from langchain_qstar.evaluation.banks import Asked as Kept
from langchain_qstar.evaluation.banks import Bank, restored
from langchain_qstar.evaluation.grading import grade
from langchain_qstar.evaluation.intervals import paired_difference
from langchain_qstar.protocols import State, Task
from langchain_qstar.scoring.q_head import Head
from real_models.candidates import Asked, Candidate, Tried, Values, last_step, whole_path
from real_models.replayed_search import compared
from real_models.stepwise import answered
from real_models.valuing import PLACES, auc, figures, mixed_of

Record = dict[str, Any]


def test_bank(rows: Sequence[Record], questions: Sequence[Record], task: Task) -> Bank:
    """The drawn samples of the questions that have some, in the order of their seeds.

    Every question has as many as the one that has the fewest.
    """
    drawn: dict[str, list[Record]] = {}
    for row in sorted(rows, key=lambda row: row["number"]):
        drawn.setdefault(row["id"], []).append(row)
    found = [each for each in questions if each["id"] in drawn]
    size = min((len(drawn[each["id"]]) for each in found), default=0)
    return Bank(
        {},
        tuple(
            Kept(
                each["id"],
                each["question"],
                task.gold(each["answer"]) or each["answer"],
                tuple(restored(row["sample"]) for row in drawn[each["id"]][:size]),
            )
            for each in found
        ),
    )


def head_values(folder: Path, rows: Sequence[Record], questions: Sequence[Record]) -> Candidate:
    """What the head in a folder gives every step of the drawn samples, from their hidden states."""
    head = Head(folder)
    texts = {each["id"]: each["question"] for each in questions}
    known: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["id"] not in texts or "hidden" not in row:
            continue
        steps = restored(row["sample"]).steps
        hidden = np.frombuffer(base64.b85decode(row["hidden"]), dtype=np.float16)
        state, pairs = State(texts[row["id"]]), []
        for step in steps:
            pairs.append((state, step))
            state = state.then(step)
        inputs = head.inputs(hidden.astype(np.float32).reshape(len(steps), -1), pairs)
        known[texts[row["id"]], state.text] = head.probabilities(inputs)

    def candidate(asked: Asked) -> Values:
        return [
            known[asked.question, "".join(step.text for step in each.steps)]
            for each in asked.samples
        ]

    return candidate


def judged(bank: Bank, head: Candidate, task: Task, cap: int) -> dict[str, Any]:
    """The figures of a head beside those of log-probabilities, on the same samples."""
    candidates = {"head": head, "path": whole_path, "last_step": last_step}
    asked = [_asked(each, task) for each in bank.questions]
    told = figures(asked, candidates)
    mixed = mixed_of(asked)
    for place in PLACES if mixed else ():
        ranked, beside = (
            [auc(each, candidate(each), place) for each in mixed]
            for candidate in (head, whole_path)
        )
        difference = paired_difference(ranked, beside)
        for prefix, value in zip(("", "low_", "high_"), difference, strict=True):
            told[f"{prefix}auc_{place}_head_minus_path"] = value
    searches = compared(bank, task, cap, scorers=candidates, roots=(bank.size,), biases=(0.0,))
    for name in candidates:
        own = f"{name}_{bank.size}_0"
        told |= {
            f"search_{name}": searches[own],
            f"search_tokens_{name}": searches[f"tokens_{own}"],
        }
        for prefix in ("", "low_", "high_"):
            told[f"{prefix}search_{name}_minus_vote"] = searches[f"{prefix}{own}_minus_vote"]
    return {**told, "search_vote": searches["vote"], "search_tokens_vote": searches["tokens_vote"]}


def _asked(kept: Kept, task: Task) -> Asked:
    samples = []
    for each in kept.samples:
        if each.steps:
            answer = answered(each, task)
            right = answer is not None and grade(answer, kept.gold, task) == "right"
            samples.append(Tried(each.steps, answer, right))
    return Asked(kept.question, tuple(samples))
