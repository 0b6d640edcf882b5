"""Drawing steps that nobody votes on: one sample a child."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from langchain_qstar.actions import trace_of
from langchain_qstar.nodes.phase import Call, sample
from langchain_qstar.nodes.replies import checked, is_cut, used
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.protocols import Action, Completion
from langchain_qstar.seeds import sample_seed
from langchain_qstar.state.rstar import Expansion, Work

Drawn = list[tuple[Expansion, str, Completion]]
"""For each new step: whose child it is, its id, and its text."""


def draw_steps(
    parts: Parts, work: Work, action: Action
) -> Generator[Call, Any, tuple[Drawn, dict[str, float]]]:
    """One sample for each slot of `action`, all as one batch.

    Returns:
        The samples that are steps of that action, or that a budget cut, and what they cost.
    """
    asked, requests = [], []
    for expansion, slots in parts.places(work, action):
        trace = trace_of(work["question"], expansion["path"])
        ids = slots.ids(expansion["id"])
        seeds = [sample_seed(work["seed"], each, 0) for each in ids]
        if request := parts.request(parts.forms.opening(action, trace), seeds):
            asked.append((expansion, ids))
            requests.append(request)
    if not requests:
        return [], {}
    groups = checked((yield sample(parts.policy, requests)), len(requests), parts.policy.name)
    drawn = [
        (expansion, node_id, completion)
        for (expansion, ids), group in zip(asked, groups, strict=True)
        for node_id, completion in zip(ids, group, strict=False)
        if parts.is_step(action, completion) or is_cut(completion)
    ]
    return drawn, used(groups)
