"""verify_by_completion, of Q*: a second model completes what the search collected.

It is in the machine only when the setting `verify` asks for it, between the search and its
answer. Candidates that all have one answer are not sent: no verifier could change the answer.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from langchain_qstar.actions import InlineForms
from langchain_qstar.nodes.budgets import budgets_of
from langchain_qstar.nodes.mutual.affording import affordable, completions_each, longest
from langchain_qstar.nodes.mutual.collected import collected_candidates
from langchain_qstar.nodes.mutual.completing import Verifier
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer, aside
from langchain_qstar.protocols import Policy, Task
from langchain_qstar.settings import QStarSettings
from langchain_qstar.spending.allowance import now
from langchain_qstar.state.qstar import AnswerView
from langchain_qstar.tree import ROOT
from langchain_qstar.verification.candidates import Candidate, answers_of
from langchain_qstar.verification.winning import unanimous


def make_verify_collected(
    policy: Policy, task: Task, settings: QStarSettings, asking: Task | None = None
) -> Beat:
    """The node that asks a second model.

    Args:
        policy: The verifier; any policy, the one that wrote the candidates too.
        task: How candidates read, where an answer is, and when two are the same.
        settings: The masks, how often each is completed, and when the search abstains.
        asking: The task as the verifier is asked, which may be another kind of model; None
            is `task` itself.

    Returns:
        The function of the node. It never raises for a verifier that fails.
    """
    forms = InlineForms(asking or task)
    verifier = Verifier(policy, task, forms, settings, top_p=settings.top_p, top_k=settings.top_k)

    def verify_by_completion(view: AnswerView, write: Writer) -> Generator[Call, Any, Update]:
        start = now()
        waiting = yield aside(lambda: _waiting(view, task, settings))
        if not waiting:
            return {}
        learnt, usage = yield from verifier.completed(waiting, view["nodes"][ROOT])
        write((yield aside(lambda: verifier.event(waiting, learnt))))
        return {"stats": learnt, "usage": usage | {"seconds": now() - start}}

    return verify_by_completion


def _waiting(view: AnswerView, task: Task, settings: QStarSettings) -> list[Candidate]:
    """The candidates to verify now, as many as the budgets leave completions for."""
    nodes, stats, collected = view["nodes"], view["stats"], view["collected"]
    found = collected_candidates(nodes, stats, collected, task, settings)
    if unanimous(answers_of(found, settings.agreement, task.equivalent)):
        return []
    fresh = [each for each in found if each.completed is None]
    budgets = budgets_of(nodes[ROOT])
    each = completions_each(settings)
    return affordable(fresh, each, view["usage"], budgets, longest(nodes, collected))
