"""Sampled steps that end a solution without an answer are asked for it, all as one batch."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_qstar.nodes.candidates import Candidate
from langchain_qstar.nodes.concluding import conclude, is_unanswered
from langchain_qstar.nodes.phase import Call
from langchain_qstar.nodes.work import Work, record_of, state_of
from langchain_qstar.protocols import Policy, Task
from langchain_qstar.seeds import question_seed
from langchain_qstar.settings import QStarSettings
from langchain_qstar.tree import child_id, reasoning


@dataclass(frozen=True, slots=True)
class Concluder:
    """Asks a policy for the answers of the steps that it ended solutions with.

    Attributes:
        policy: Who wrote the steps.
        task: Which texts are solutions, and where their answers are.
        settings: The greatest depth, where a step ends a path.
    """

    policy: Policy
    task: Task
    settings: QStarSettings

    def __call__(
        self,
        work: Work,
        parents: Sequence[str],
        groups: Sequence[Sequence[Candidate]],
        usage: dict[str, float],
    ) -> Generator[Call, Any, list[list[Candidate]]]:
        """The candidates of each state, with answers where they were to be had.

        Args:
            work: The part of the tree around the states.
            parents: The states.
            groups: The candidates of each.
            usage: What it costs is added to this.
        """
        found = [list(group) for group in groups]
        due = [
            (place, number, parent, candidate)
            for place, (parent, group) in enumerate(zip(parents, groups, strict=True))
            for number, candidate in enumerate(group)
            if self._is_due(work, parent, candidate)
        ]
        if not due:
            return found
        own = question_seed(work.run["seed"], work.run["question"])
        messages = self.task.messages(work.run["question"])
        solutions = [
            (state_of(work.nodes, parent, messages), candidate.completion)
            for _, _, parent, candidate in due
        ]
        whole, spent = yield from conclude(self.policy, self.task, own, solutions)
        for key, count in ({**spent, "batches": 1} if spent else {}).items():
            usage[key] = usage.get(key, 0) + count
        for (place, number, _, candidate), completion in zip(due, whole, strict=True):
            found[place][number] = replace(candidate, completion=completion)
        return found

    def _is_due(self, work: Work, parent: str, candidate: Candidate) -> bool:
        text = reasoning(work.nodes, parent) + candidate.completion.text
        if candidate.action == "retrieve" or not is_unanswered(text, self.task):
            return False
        record = record_of(
            candidate.completion,
            child_id(parent, 0),
            work.nodes,
            order=0,
            action=candidate.action,
            task=self.task,
            window=self.policy.window,
            max_depth=self.settings.max_depth,
        )
        return record["terminal"]
