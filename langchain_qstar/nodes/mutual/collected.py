"""The trajectories that a Q* search collected, as candidates, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from langchain_qstar.actions import InlineForms
from langchain_qstar.nodes.assembly import may_answer
from langchain_qstar.nodes.mutual.candidates import candidate_at
from langchain_qstar.nodes.mutual.outcome import Outcome, outcome_of
from langchain_qstar.nodes.selection import best
from langchain_qstar.protocols import Task
from langchain_qstar.settings import QStarSettings
from langchain_qstar.tree import Nodes, Stats, samples_of
from langchain_qstar.verification.candidates import Candidate, is_candidate, merged


def collected_candidates(
    nodes: Nodes, stats: Stats, collected: Sequence[str], task: Task, settings: QStarSettings
) -> list[Candidate]:
    """The distinct collected trajectories with an answer, best first.

    Each weighs 1, or with `count_repeats` as many as samples drew it. Where a rule asks what
    rollouts earned, f is meant, not below 0. Those that the search would withhold (`abstain`)
    are left out.

    Args:
        nodes: The tree.
        stats: What is known about it.
        collected: The trajectories.
        task: How they read: one text under its own prompt.
        settings: Whether the search may abstain.
    """
    forms = InlineForms(task)
    return merged(
        replace(
            candidate_at(nodes, stats, each, samples_of(nodes, each), forms),
            reward=max(stats[each]["f"], 0.0),
            confidence=1.0,
        )
        for each in best(nodes, stats, collected)
        if is_candidate(nodes[each]["answer"]) and may_answer(nodes, stats, each, settings.abstain)
    )


def completed_outcome(
    nodes: Nodes, stats: Stats, collected: Sequence[str], task: Task, settings: QStarSettings
) -> Outcome | None:
    """What the candidates come to; None when the verifier completed none of them."""
    found = collected_candidates(nodes, stats, collected, task, settings)
    if all(each.completed is None for each in found):
        return None
    return outcome_of(found, settings.verified_selection, settings.agreement, task.equivalent)
