"""root: check the question and write the first value of every channel."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from langgraph.types import Overwrite

from langchain_qstar.actions import Trace
from langchain_qstar.errors import QuestionError
from langchain_qstar.nodes.earlier import finished_root, goes_on, turns_after
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer, aside
from langchain_qstar.nodes.preface import preface_of
from langchain_qstar.nodes.root import (
    check_budget,
    check_images,
    check_question,
    gone_on,
    known,
    remember,
    root_record,
    run_facts,
)
from langchain_qstar.nodes.rstar.answer import stored_solution
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.nodes.thread_budget import thread_facts
from langchain_qstar.protocols import Policy
from langchain_qstar.seeds import question_seed
from langchain_qstar.settings.rstar import RSTAR_BUDGETS, RStarSettings
from langchain_qstar.spending.allowance import cut_of
from langchain_qstar.state.rstar import RStarRootView, Work
from langchain_qstar.tree import ROOT


def make_root(parts: Parts, names: Mapping[str, str | None], verifier: Policy) -> Beat:
    """The node that starts a run.

    It overwrites whatever an earlier run left in the same thread, unless the run goes on
    with that (`earlier.py`).

    Args:
        parts: Of the machine; the input's budget replaces its settings' own.
        names: The names of policy, verifier, q_model, task and checks.
        verifier: Who completes candidates; it must see images too.

    Returns:
        The function of the node. It raises `QuestionError` for a question that
        cannot be asked, `SettingsError` for a budget that cannot be kept, and
        `ThreadError` when earlier runs in the thread spent all of its budget.
    """

    def root(view: RStarRootView, _: Writer) -> Generator[Call, Any, Update]:
        question, seed = view["question"], view.get("seed", 0)
        images = check_images(view.get("images", ()), parts.policy, verifier)
        length = check_question(question, parts.policy, parts.task, shown=bool(images))
        _check_prompts(parts, question)
        used = parts.settings.replace(**check_budget(view.get("budget", {}), RSTAR_BUDGETS))
        run = run_facts(question, seed, used, names, images)
        before = finished_root(view, run) if used.remember_thread else None
        if before is not None and goes_on(before["run"], run):
            return gone_on(view, before, run, used) | _taken_up(view)
        record = root_record(run, length)
        if before is not None:
            settings_then = RStarSettings(**before["run"]["settings"])
            found = yield aside(lambda: stored_solution(view, parts.task, settings_then))
            turns = turns_after(before, found, view.get("answer"), parts.task)
            known(record, turns, parts.policy, parts.task)
        remember(record, parts.task, used)
        thread = thread_facts(view.get("nodes", {}), view.get("usage", {}), used)
        work: Work = {
            "question": question,
            "seed": question_seed(seed, question),
            "rollouts": [],
            "expansions": [],
            "begun": 0,
            "slots": 1,
            "verified": 0,
            "written": [],
        }
        return {
            "nodes": Overwrite({ROOT: {**record, **thread}}),
            "stats": Overwrite({}),
            "usage": Overwrite({}),
            "work": work,
            "in_flight": [],
            "ended": [],
            "stopped": "",
            "answer": None,
            "preface": Overwrite(preface_of(record)),
        }

    return root


def _taken_up(view: RStarRootView) -> Update:
    """What a round that a budget cut short is begun again with: the same places for its nodes."""
    work = view["work"]
    if cut_of(view["usage"]) is None or not work["expansions"]:
        return {}
    return {"work": {**work, "slots": work["expansions"][0]["order"]}}


def _check_prompts(parts: Parts, question: str) -> None:
    """Whether at least one action that may come first can be asked for; examples take room too."""
    first = [slots.action for slots in parts.rules.slots_after("root")]
    openings = [parts.forms.opening(action, Trace(question)) for action in first]
    if openings and not any(parts.request(opening, (0,)) for opening in openings):
        raise QuestionError(
            f"the question with the examples for it is longer than the {parts.policy.window} "
            f"tokens that {parts.policy.name} reads; shorten it"
        )
