"""Whether labels are of this policy and task, and whether anything can be learnt from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_qstar.errors import LabelError
from langchain_qstar.protocols import Task
from langchain_qstar.training.examples import Example
from langchain_qstar.training.label_file import LabelFile, check_policy

_FEWEST: Final = 2
"""Mixed questions of which one can be learnt from and one held out."""

_FEW_MIXED: Final = 30
"""Mixed questions below which a training is told to be hardly worth it."""


def check_origin(labels: LabelFile, identity: Mapping[str, Any], task: Task) -> None:
    """Refuse labels of other steps than will be scored.

    Raises:
        LabelError: They belong to another policy, task or prompts.
    """
    check_policy(labels, identity)
    if labels.header.get("task") != task.name:
        raise LabelError(f"the labels are of the task {labels.header.get('task')}, not {task.name}")
    if labels.header.get("prompts", "") != task.prompts:
        raise LabelError(
            f"the labels were made with the prompts {labels.header.get('prompts')!r}, not "
            f"{task.prompts!r}; give the same prompts and shots"
        )


def check_teaching(labels: LabelFile, examples: Sequence[Example]) -> list[str]:
    """Refuse labels that teach nothing.

    Args:
        labels: All of them.
        examples: Those of their questions that have a label.

    Returns:
        What is to be said of labels that teach little; empty for those that teach enough.

    Raises:
        LabelError: There are too few, all are right or all wrong, or hardly a question has
            both.
    """
    if len(examples) < _FEWEST:
        raise LabelError(f"{len(examples)} labelled questions are too few to train and hold out")
    _check_both(labels)
    mixed = sum(each.mixed for each in examples)
    if mixed < _FEWEST:
        raise LabelError(
            f"of {len(examples)} labelled questions {mixed} had right and wrong rollouts, too few "
            "to learn what tells them apart; label more questions, or more samples of each"
        )
    if mixed >= _FEW_MIXED:
        return []
    few = f"only {mixed} questions have right and wrong rollouts"
    return [f"{few}; below {_FEW_MIXED} a model hardly learns to tell them apart"]


def _check_both(labels: LabelFile) -> None:
    """Refuse labels that all say the same, from which nothing can be learnt."""
    for sort, found, what in (
        ("right", labels.ever_right, "look at the gold answers, the task and the policy"),
        ("wrong", labels.ever_wrong, "label harder questions"),
    ):
        if not found:
            raise LabelError(
                f"no rollout in the labels was {sort}, so there is nothing to learn; {what}"
            )
