"""verify_by_completion: a second model is shown beginnings of candidates and completes them.

All candidates of an rStar search that were not verified before are one batch; see
`completing.py`.

Source: rStar (arXiv 2408.06195), section 3.3.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from langchain_qstar.actions import forms_of
from langchain_qstar.nodes.budgets import budgets_of
from langchain_qstar.nodes.mutual.affording import affordable, completions_each
from langchain_qstar.nodes.mutual.believing import beliefs_of
from langchain_qstar.nodes.mutual.candidates import candidates_of
from langchain_qstar.nodes.mutual.completing import Verifier
from langchain_qstar.nodes.mutual.outcome import is_decided
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer, aside
from langchain_qstar.protocols import Policy, StepScorer, Task
from langchain_qstar.settings.rstar import RStarSettings
from langchain_qstar.spending.allowance import now
from langchain_qstar.state.channels import put_stats
from langchain_qstar.state.rstar import EndedView
from langchain_qstar.tree import ROOT, NodeRecord, StatRecord, is_closed
from langchain_qstar.verification.candidates import Candidate, answers_of
from langchain_qstar.verification.winning import unanimous


def make_verify_by_completion(
    verifier: Policy,
    task: Task,
    settings: RStarSettings,
    judge: StepScorer | None = None,
    asking: Task | None = None,
) -> Beat:
    """The node that asks a second model.

    Args:
        verifier: Who completes; any policy, the one that wrote the candidates too.
        task: How candidates read, where an answer is, and when two are the same.
        settings: The masks, how often each is completed, when nothing need be asked, and
            whether the search may stop once its outcome is decided.
        judge: Who values candidates instead, where the winner is chosen by
            self-verification.
        asking: The task as the verifier is asked, which may be another kind of model; None
            is `task` itself.

    Returns:
        The function of the node. It never raises for a verifier that fails.
    """
    asked = Verifier(
        verifier,
        task,
        forms_of(asking or task),
        settings,
        top_p=settings.top_p,
        top_k=settings.top_k,
        repetition_penalty=settings.repetition_penalty,
    )

    def verdicts(
        waiting: Sequence[Candidate], root: NodeRecord
    ) -> Generator[Call, Any, tuple[dict[str, StatRecord], dict[str, float]]]:
        if not waiting:
            return {}, {}
        if judge is not None and settings.selection == "self_verification":
            return (yield from beliefs_of(judge, waiting, task, root))
        return (yield from asked.completed(waiting, root))

    def verify_by_completion(view: EndedView, write: Writer) -> Generator[Call, Any, Update]:
        start = now()
        waiting = yield aside(lambda: _waiting(view, task, settings))
        learnt, usage = yield from verdicts(waiting, view["nodes"][ROOT])
        if any("completed" in each for each in learnt.values()):
            event = yield aside(lambda: asked.event(waiting, learnt))
            write(event)
        update: Update = {"stats": learnt, "usage": usage | {"seconds": now() - start}}
        if settings.verify == "during" and (
            yield aside(lambda: _is_over(view, learnt, task, settings))
        ):
            update["stopped"] = "decided"
        return update

    return verify_by_completion


def _waiting(view: EndedView, task: Task, settings: RStarSettings) -> list[Candidate]:
    """The candidates to verify now: none where all have one answer, and what can be afforded.

    Candidates of one answer are verified all the same while the search goes on, since
    others may follow. Those that the search would withhold (`abstain`) are not sent.
    """
    nodes = view["nodes"]
    found = candidates_of(
        nodes,
        view["stats"],
        view["ended"],
        forms_of(task),
        pruned=settings.failed_check == "prune",
        abstain=settings.abstain,
    )
    answers = answers_of(found, settings.agreement, task.equivalent)
    if unanimous(answers) and settings.verify == "after":
        return []
    fresh = [each for each in found if each.completed is None and each.belief is None]
    budgets = budgets_of(nodes[ROOT])
    return affordable(fresh, completions_each(settings), view["usage"], budgets)


def _is_over(
    view: EndedView, learnt: Mapping[str, StatRecord], task: Task, settings: RStarSettings
) -> bool:
    """Whether the rollouts that are left cannot change the answer."""
    nodes, ended = view["nodes"], view["ended"]
    stats = put_stats(dict(view["stats"]), [learnt])
    counted = sum(not is_closed(stats.get(each, {})) for each in ended)
    left = nodes[ROOT]["run"]["settings"]["num_rollouts"] - counted
    return left > 0 and is_decided(nodes, stats, ended, task, settings, left=left)
