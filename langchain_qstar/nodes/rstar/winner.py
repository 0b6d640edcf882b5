"""The solution that a search returns: the candidate that most rollouts found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_qstar.protocols import Task
from langchain_qstar.solution import Vote
from langchain_qstar.tree import Nodes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the candidates come to.

    Attributes:
        chosen: The node whose path is the solution, None when no candidate has an answer.
        votes: The answers, heaviest first.
        agreed: Whether the verifier agrees; None when it was not asked.
    """

    chosen: str | None
    votes: tuple[Vote, ...]
    agreed: bool | None = None


def outcome(nodes: Nodes, ended: Sequence[str], task: Task) -> Outcome:
    """The majority of all candidates; one that j rollouts ended in weighs 1 + j."""
    weights = Counter(each for each, record in nodes.items() if record["answer"] is not None)
    weights.update(each for each in ended if nodes[each]["answer"] is not None)
    groups: list[list[str]] = []
    for each in weights:
        answer = str(nodes[each]["answer"])
        for group in groups:
            if task.equivalent(str(nodes[group[0]]["answer"]), answer):
                group.append(each)
                break
        else:
            groups.append([each])
    total = weights.total()
    sizes = {group[0]: sum(weights[each] for each in group) for group in groups}
    groups.sort(key=lambda group: -sizes[group[0]])
    votes = tuple(
        Vote(
            answer=str(nodes[group[0]]["answer"]),
            count=sizes[group[0]],
            weight=sizes[group[0]] / total,
        )
        for group in groups
    )
    chosen = max(groups[0], key=lambda each: weights[each]) if groups else None
    return Outcome(chosen, votes)
