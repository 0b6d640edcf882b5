"""A trained head on drawn test questions, whose hidden states were kept as they were drawn."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from langchain_qstar.evaluation.banks import Asked as Kept
from langchain_qstar.evaluation.banks import Bank, restored
from langchain_qstar.evaluation.intervals import PREFIXES, difference_figures
from langchain_qstar.protocols import State, Task
from langchain_qstar.scoring.q_head import Head
from real_models.candidates import Asked, Candidate, Values, last_step, whole_path
from real_models.drawing import banked, kept
from real_models.files import AbsentError
from real_models.replayed_search import compared
from real_models.valuing import PLACES, auc, figures, mixed_of, tried

Record = dict[str, Any]


def drawn_bank(rows: Sequence[Record], questions: Sequence[Record], task: Task) -> Bank:
    """The drawn samples of the questions that have some, as many of each.

    Raises:
        AbsentError: None of the questions has any.
    """
    known = kept(rows)
    found = [each for each in questions if each["id"] in known]
    if not found:
        raise AbsentError("the rows are of other questions; give what was drawn of the test split")
    size = min(len(known[each["id"]]) for each in found)
    return Bank({}, banked(found, known, size, task))


def head_values(folder: Path, rows: Sequence[Record], questions: Sequence[Record]) -> Candidate:
    """What the head in a folder gives every step of the drawn samples, from their hidden states.

    Raises:
        AbsentError: The rows have no hidden states, or not those that the head reads.
        ModelSpecError: There is no head in the folder.
    """
    head = Head(folder)
    texts = {each["id"]: each["question"] for each in questions}
    known: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["id"] not in texts:
            continue
        if "hidden" not in row:
            raise AbsentError(f"{row['id']} was drawn without its hidden states; draw --hidden")
        steps = restored(row["sample"]).steps
        hidden = np.frombuffer(base64.b85decode(row["hidden"]), dtype=np.float16)
        state, pairs = State(texts[row["id"]]), []
        for step in steps:
            pairs.append((state, step))
            state = state.then(step)
        inputs = head.inputs(hidden.astype(np.float32).reshape(len(steps), -1), pairs)
        if (width := inputs.shape[1]) != head.width:
            raise AbsentError(f"the head takes {head.width} inputs, and the rows give {width}")
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
        told |= difference_figures(f"auc_{place}_head_minus_path", ranked, beside)
    searches = compared(bank, task, cap, scorers=candidates, roots=(bank.size,), biases=(0.0,))
    for name in candidates:
        own = f"{name}_{bank.size}_0"
        told |= {
            f"search_{name}": searches[own],
            f"search_tokens_{name}": searches[f"tokens_{own}"],
        }
        for prefix in PREFIXES:
            told[f"{prefix}search_{name}_minus_vote"] = searches[f"{prefix}{own}_minus_vote"]
    return {**told, "search_vote": searches["vote"], "search_tokens_vote": searches["tokens_vote"]}


def _asked(each: Kept, task: Task) -> Asked:
    samples = (tried(one, each.gold, task) for one in each.samples if one.steps)
    return Asked(each.question, tuple(samples))
