"""root: check the question and write the first value of every channel."""

from __future__ import annotations

import unicodedata
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final

from langgraph.types import Overwrite

from langchain_qstar.errors import QuestionError, SettingsError
from langchain_qstar.nodes.answer import stored_solution
from langchain_qstar.nodes.earlier import finished_root, fitting, goes_on, turns_after, uncut
from langchain_qstar.nodes.phase import Beat, Call, Update, Writer, aside
from langchain_qstar.nodes.remembering import memory_facts
from langchain_qstar.nodes.thread_budget import thread_facts
from langchain_qstar.protocols import Image, Policy, SeesImages, Task
from langchain_qstar.settings import BUDGETS, QStarSettings, Settings
from langchain_qstar.spending.allowance import without_cuts
from langchain_qstar.state.qstar import QStarRootView
from langchain_qstar.tree import ROOT, NodeRecord, TurnRecord, state_key

LAYOUT: Final = 1
"""Which layout a stored search has. One of another layout is not gone on with."""

ALLOWED_CONTROLS: Final = frozenset("\n\r\t\f\v")


def make_root(
    policy: Policy,
    task: Task,
    settings: QStarSettings,
    names: Mapping[str, str | None],
    verifier: Policy | None = None,
) -> Beat:
    """The node that starts a run.

    It overwrites whatever an earlier run left in the same thread, unless the run goes on
    with that (`earlier.py`). The root record holds the facts of the run: they are stored
    once, not with every checkpoint.

    Args:
        policy: Who will answer; its window bounds the question.
        task: How the question is prompted.
        settings: Settings of the machine; the input's budget replaces theirs.
        names: The names of policy, q_model, utility, task and checks.
        verifier: Who completes what was collected, if anyone; it must see images too.

    Returns:
        The function of the node. It raises `QuestionError` for a question that
        cannot be asked, `SettingsError` for a budget that cannot be kept, and
        `ThreadError` when earlier runs in the thread spent all of its budget.
    """

    def root(view: QStarRootView, _: Writer) -> Generator[Call, Any, Update]:
        images = check_images(view.get("images", ()), policy, verifier)
        length = check_question(view["question"], policy, task, shown=bool(images))
        used = settings.replace(**check_budget(view.get("budget", {}), BUDGETS))
        run = run_facts(view["question"], view.get("seed", 0), used, names, images)
        before = finished_root(view, run) if used.remember_thread else None
        if before is not None and goes_on(before["run"], run):
            return gone_on(view, before, run, used)
        record = root_record(run, length)
        if before is not None:
            settings_then = QStarSettings(**before["run"]["settings"])
            found = yield aside(lambda: stored_solution(view, task, settings_then))
            turns = turns_after(before, found, view.get("answer"), task)
            known(record, turns, policy, task)
        remember(record, task, used)
        thread = thread_facts(view.get("nodes", {}), view.get("usage", {}), used)
        return {
            "nodes": Overwrite({ROOT: {**record, **thread}}),
            "stats": Overwrite({ROOT: {"f": 0.0}}),
            "usage": Overwrite({}),
            "collected": [],
            "stopped": "",
            "answer": None,
        }

    return root


def gone_on(
    view: Mapping[str, Any], before: NodeRecord, run: dict[str, Any], settings: Settings
) -> Update:
    """The update by which a run goes on in the tree of the run before it."""
    thread = thread_facts(view["nodes"], view["usage"], settings, goes_on=True)
    kept = {key: value for key, value in before.items() if key not in ("earlier", "left")}
    root = {ROOT: {**kept, "run": run, **thread}}
    update: Update = {"nodes": root, "stopped": "", "answer": None}
    nodes, stats = uncut(view["nodes"], view["stats"])
    if nodes.keys() != view["nodes"].keys() or stats != view["stats"]:
        update |= {"nodes": Overwrite({**nodes, **root}), "stats": Overwrite(stats)}
    if told := without_cuts(view["usage"]):
        update["usage"] = told
    return update


def known(record: NodeRecord, turns: Sequence[TurnRecord], policy: Policy, task: Task) -> None:
    """Put into a new root what was asked before in its thread, as far as there is room."""
    kept, size = fitting(turns, record["length"], policy, task)
    if kept:
        record["turns"] = kept
        record["length"] += size


def remember(record: NodeRecord, task: Task, settings: Settings) -> None:
    """Put into a new root where it remembers sub-questions, if it does.

    Raises:
        SettingsError: The graph has no store.
    """
    if (memory := memory_facts(record, task.name, settings)) is not None:
        record["memory"] = dict(memory)


def run_facts(
    question: str,
    seed: int,
    settings: Settings,
    names: Mapping[str, str | None],
    images: Sequence[Image] = (),
) -> dict[str, Any]:
    """What makes a run this run: with the same facts it grows the same tree."""
    facts = {
        "layout": LAYOUT,
        "question": question,
        "seed": seed,
        "settings": settings.model_dump(mode="json"),
        **names,
    }
    return facts | {"images": [dict(each) for each in images]} if images else facts


def root_record(run: dict[str, Any], length: int) -> NodeRecord:
    """The record of the root, with the facts of the run."""
    return {
        "id": ROOT,
        "parent": None,
        "order": 0,
        "action": "root",
        "text": "",
        "token_ids": [],
        "logprobs": [],
        "samples": 1,
        "length": length,
        "terminal": False,
        "truncated": False,
        "answer": None,
        "key": state_key(""),
        "run": run,
    }


def check_images(
    images: Sequence[Image], policy: Policy, verifier: Policy | None = None
) -> Sequence[Image]:
    """`images`, if every model that is asked the question sees them.

    Raises:
        QuestionError: One reads text only.
    """
    for each in (policy, verifier):
        if images and each is not None and not _sees(each):
            raise QuestionError(
                f"the question shows an image, but {each.name} reads text only; use a chat model "
                "that takes images, or put what matters of it into words"
            )
    return images


def _sees(policy: Policy) -> bool:
    return isinstance(policy, SeesImages) and policy.takes_images


def check_question(question: object, policy: Policy, task: Task, *, shown: bool = False) -> int:
    """Whether `question` can be asked, in any human language.

    Args:
        question: What the user passed.
        policy: Whose window it must fit, with room for one step.
        task: How it will be prompted.
        shown: Whether images belong to it; they may be all of it.

    Returns:
        The tokens of its prompt, without what a chat template adds and without images.

    Raises:
        QuestionError: It is not text, blank, binary, or too long.
    """
    if not isinstance(question, str):
        raise QuestionError(f"the question must be text, not {type(question).__name__}")
    if not question.strip() and not shown:
        raise QuestionError("the question is empty; write one, such as: What is 2 + 3?")
    if (place := _binary(question)) is not None:
        raise QuestionError(
            f"the question holds the character {question[place]!r} at position {place}; "
            "pass plain text, not the bytes of a file"
        )
    length = sum(policy.count_tokens(content) for _, content in task.messages(question))
    if policy.window is not None and length + task.step_tokens > policy.window:
        raise QuestionError(
            f"the question makes a prompt of {length} tokens, but {policy.name} reads "
            f"{policy.window} and needs {task.step_tokens} for a step; shorten it"
            + (", or show fewer examples (shots)" if len(task.prompts.split()) > 1 else "")
        )
    return length


def _binary(text: str) -> int | None:
    """Position of the first character that no written language has, or None."""
    for place, character in enumerate(text):
        category = unicodedata.category(character)
        control = category == "Cc" and character not in ALLOWED_CONTROLS
        if control or category == "Cs" or character == "\ufffd":
            return place
    return None


def check_budget(budget: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """The entries of `budget` that are given; `SettingsError` for a name that is not `known`."""
    for name in budget:
        if name not in known:
            raise SettingsError(f"unknown budget '{name}'; known: {', '.join(known)}")
    return {name: value for name, value in budget.items() if value is not None}
