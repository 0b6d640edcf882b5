"""Self-verification: a judge is asked how likely each candidate is right.

It is what mutual verification is compared with (rStar, table 5): the judge is the policy
itself, and verifies nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from langchain_qstar.errors import ModelError
from langchain_qstar.nodes.mutual.asking import FAILURES
from langchain_qstar.nodes.phase import Call, attempted, score
from langchain_qstar.nodes.preface import preface_of, prefaced
from langchain_qstar.nodes.score_with_q import checked, used
from langchain_qstar.protocols import ScoreRequest, State, Step, StepScorer, Task
from langchain_qstar.tree import NodeRecord, StatRecord
from langchain_qstar.verification.candidates import Candidate


def beliefs_of(
    judge: StepScorer, candidates: Sequence[Candidate], task: Task, root: NodeRecord
) -> Generator[Call, Any, tuple[dict[str, StatRecord], dict[str, float]]]:
    """How likely the judge finds each candidate right, as one batch; nothing if it fails.

    Args:
        judge: Values the last step of a solution after the steps before it.
        candidates: What to judge.
        task: How the question is prompted.
        root: The root of the tree: it has the facts of the run.

    Returns:
        `belief` of each candidate, and what it cost.
    """
    question: str = root["run"]["question"]
    asked = prefaced(State(question, task.messages(question)), preface_of(root))
    requests = [
        ScoreRequest(
            replace(asked, steps=tuple(Step(text) for text in each.segments[:-1])),
            tuple(Step(text) for text in each.segments[-1:]),
        )
        for each in candidates
    ]
    given = yield attempted(score(judge, requests), FAILURES)
    try:
        scores = [] if isinstance(given, Exception) else checked(given, requests, judge.name)
    except ModelError:
        scores = []
    learnt: dict[str, StatRecord] = {
        candidate.id: {"belief": each.values[0]}
        for candidate, each in zip(candidates, scores, strict=bool(scores))
    }
    return learnt, used(scores) if scores else {}
