"""Log-probabilities for labelled steps that have none."""

from __future__ import annotations

from dataclasses import replace

from langchain_qstar.protocols import Policy, Task
from langchain_qstar.scoring.features import lacks_logprobs
from langchain_qstar.scoring.identity import ReadingPolicy
from langchain_qstar.training.label_file import LabelledQuestion


def rescored(labelled: LabelledQuestion, task: Task, policy: Policy) -> LabelledQuestion:
    """The question with the log-probabilities that its steps lack, read by their policy.

    Args:
        labelled: Steps that `policy` wrote.
        task: How the question is asked.
        policy: One that reads texts; with another the question is returned as it is.

    Raises:
        ModelError: The policy failed.
    """
    bare = [n for n, each in enumerate(labelled.steps) if lacks_logprobs(each.step)]
    if not bare or not isinstance(policy, ReadingPolicy):
        return labelled
    states = labelled.states(task)
    # Earlier steps come first, so that each step is a piece of its own in the policy's cache.
    values = policy.token_logprobs(
        [states[n] for n in bare], [labelled.steps[n].step for n in bare]
    )
    steps = list(labelled.steps)
    for number, found in zip(bare, values, strict=True):
        steps[number] = replace(steps[number], logprobs=tuple(round(each, 4) for each in found))
    return replace(labelled, steps=tuple(steps))
