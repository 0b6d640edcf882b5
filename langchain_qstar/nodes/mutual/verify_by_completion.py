"""verify_by_completion: a second model is shown beginnings of candidates and completes them.

All candidates that were not verified before, at all their masks, are one batch. The
verifier is asked the original question and sees nothing of how a candidate ends; its own
completion alone is read for an answer. What fails, does not parse or has no room is a
disagreement. Nothing here sees a gold answer.

Source: rStar (arXiv 2408.06195), section 3.3; algorithms.md 2.10.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from time import perf_counter
from typing import Any

from langchain_qstar.actions import forms_of
from langchain_qstar.nodes.mutual.affording import affordable, completions_each
from langchain_qstar.nodes.mutual.asking import completions_of
from langchain_qstar.nodes.mutual.believing import beliefs_of
from langchain_qstar.nodes.mutual.candidates import candidates_of
from langchain_qstar.nodes.mutual.outcome import is_decided
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer, aside
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.protocols import Completion, Policy, SampleRequest, StepScorer, Task
from langchain_qstar.seeds import sample_seed
from langchain_qstar.settings.rstar import RStarSettings
from langchain_qstar.state.channels import put_stats
from langchain_qstar.state.events import VerifiedEvent
from langchain_qstar.state.rstar import EndedView
from langchain_qstar.tree import ROOT, StatRecord
from langchain_qstar.verification.agreement import survives
from langchain_qstar.verification.candidates import Candidate, answers_of
from langchain_qstar.verification.masking import prefixes
from langchain_qstar.verification.winning import unanimous


def make_verify_by_completion(
    verifier: Policy, task: Task, settings: RStarSettings, judge: StepScorer | None = None
) -> Beat:
    """The node that asks a second model.

    Args:
        verifier: Who completes; any policy, the one that wrote the candidates too.
        task: How candidates read, where an answer is, and when two are the same.
        settings: The masks, how often each is completed, when nothing need be asked, and
            whether the search may stop once its outcome is decided.
        judge: Who values candidates instead, where the winner is chosen by
            self-verification.

    Returns:
        The function of the node. It never raises for a verifier that fails.
    """
    parts = Parts(
        verifier,
        task,
        forms_of(task),
        settings.replace(temperature=settings.verifier_temperature),
    )

    def verify_by_completion(view: EndedView, write: Writer) -> Generator[Call, Any, Update]:
        start = perf_counter()
        waiting = yield aside(lambda: waiting_in(view, parts))
        learnt, usage = yield from _verdicts(parts, judge, waiting, view["nodes"][ROOT]["run"])
        if any("completed" in each for each in learnt.values()):
            event = yield aside(lambda: _event(waiting, learnt, parts))
            write(event)
        update: Update = {"stats": learnt, "usage": usage | {"seconds": perf_counter() - start}}
        if settings.verify == "during" and (yield aside(lambda: _is_over(view, learnt, parts))):
            update["stopped"] = "decided"
        return update

    return verify_by_completion


def waiting_in(view: EndedView, parts: Parts) -> list[Candidate]:
    """The candidates to verify now: none where all have one answer, and what can be afforded.

    Candidates of one answer are verified all the same while the search goes on, since
    others may follow, and where it may abstain, since an answer then needs the verifier.
    """
    nodes, settings = view["nodes"], parts.settings
    found = candidates_of(
        nodes,
        view["stats"],
        view["ended"],
        parts.forms,
        pruned=settings.failed_check == "prune",
    )
    answers = answers_of(found, settings.agreement, parts.task.equivalent)
    if unanimous(answers) and settings.verify == "after" and not settings.abstain:
        return []
    fresh = [each for each in found if each.completed is None and each.belief is None]
    budgets = nodes[ROOT]["run"]["settings"]
    return affordable(fresh, completions_each(settings), view["usage"], budgets)


def _verdicts(
    parts: Parts, judge: StepScorer | None, waiting: Sequence[Candidate], run: Mapping[str, Any]
) -> Generator[Call, Any, tuple[dict[str, StatRecord], dict[str, float]]]:
    """What is learnt about candidates, and what that cost."""
    if not waiting:
        return {}, {}
    if judge is not None and parts.settings.selection == "self_verification":
        return (yield from beliefs_of(judge, waiting, parts.task, run["question"]))
    return (yield from _completed(parts, waiting, run))


def _is_over(view: EndedView, learnt: Mapping[str, StatRecord], parts: Parts) -> bool:
    """Whether the rollouts that are left cannot change the answer."""
    nodes, ended = view["nodes"], view["ended"]
    stats = put_stats(dict(view["stats"]), [learnt])
    left = nodes[ROOT]["run"]["settings"]["num_rollouts"] - len(ended)
    return left > 0 and is_decided(nodes, stats, ended, parts.task, parts.settings, left=left)


def _completed(
    parts: Parts, waiting: Sequence[Candidate], run: Mapping[str, Any]
) -> Generator[Call, Any, tuple[dict[str, StatRecord], dict[str, float]]]:
    """What the verifier's completions of each candidate reached."""
    asked = [request for each in waiting for request in _requests(parts, each, run)]
    found = [request for request in asked if request is not None]
    completions, usage = yield from completions_of(parts.policy, found)
    answered = iter(zip(found, completions, strict=True))
    most = parts.settings.completions_per_mask
    reached = [
        [None] * most if request is None else _answers(parts.task, *next(answered))
        for request in asked
    ]
    each = len(asked) // len(waiting)
    learnt: dict[str, StatRecord] = {
        candidate.id: {
            "completed": [
                answer for mask in reached[number * each : (number + 1) * each] for answer in mask
            ]
        }
        for number, candidate in enumerate(waiting)
    }
    return learnt, usage


def _requests(
    parts: Parts, candidate: Candidate, run: Mapping[str, Any]
) -> list[SampleRequest | None]:
    """One request a mask; None where the verifier has no room for it."""
    settings = parts.settings
    shown = prefixes(
        candidate.segments,
        unit=settings.mask_unit,
        masks=settings.masks,
        random_mask=settings.random_mask,
        seed=sample_seed(run["seed"], f"mask of {candidate.id}", 0),
    )
    place, each = f"completion of {candidate.id}", settings.completions_per_mask
    return [
        parts.request(
            parts.forms.completing(run["question"], prefix),
            [sample_seed(run["seed"], place, mask * each + number) for number in range(each)],
        )
        for mask, prefix in enumerate(shown)
    ]


def _answers(
    task: Task, request: SampleRequest, completions: Sequence[Completion]
) -> list[str | None]:
    """The answer of each completion that was asked for; None for one that has none."""
    answers = [_answer(task, request, each) for each in completions[: len(request.seeds)]]
    return answers + [None] * (len(request.seeds) - len(answers))


def _answer(task: Task, request: SampleRequest, completion: Completion) -> str | None:
    own = completion.text.removeprefix(request.prefill)
    ended = completion.finish in {"stop", "eos"} or task.is_terminal(own)
    failed = completion.finish in {"cancelled", "error"}
    return task.answer(own) if ended and not failed else None


def _event(
    waiting: Sequence[Candidate], learnt: Mapping[str, StatRecord], parts: Parts
) -> VerifiedEvent:
    rule, equivalent = parts.settings.agreement, parts.task.equivalent
    return {
        "type": "verified",
        "nodes": [
            {
                "id": each.id,
                "answer": each.answer,
                "completed": learnt[each.id]["completed"],
                "survived": survives(rule, each.answer, learnt[each.id]["completed"], equivalent),
            }
            for each in waiting
        ],
    }
