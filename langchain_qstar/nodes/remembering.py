"""Answers to sub-questions, remembered in a LangGraph `Store` across questions.

What is stored: of a search that has ended, the sub-questions whose answer a majority of votes
gave, or that lie on the path of a supported solution. A stored answer is never replaced, and keeps
the question it was found for. One that a person forbids, or replaces, where a search offers
it is forgotten when that search ends. Nothing here sees a gold answer.

What is read: when a search asks a sub-question, the answer to the same one, told from others by
its words and, with `remember="conditions"`, by all that the question says before it asks.
Where the setting `remember_near` allows it and the store has an index, also the answer to one
that means nearly the same, if it has the same numbers and names.

What is read becomes part of the tree, so a search that was killed does not read it again; and
only what was stored before the search began is read, so what a superstep reads when it is run
again is what it would have read. A store that fails is a warning, and nothing is remembered.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from time import time
from typing import Any, Final

from langgraph.runtime import get_runtime
from langgraph.store.base import BaseStore, GetOp, Item, PutOp, SearchOp

from langchain_qstar.actions import context_of, normalised, unlabelled
from langchain_qstar.errors import SettingsError
from langchain_qstar.nodes.phase import Call, timed
from langchain_qstar.settings import Settings
from langchain_qstar.state.channels import MemoryFacts
from langchain_qstar.tree import NodeRecord, RememberedRecord

NEAREST: Final = 5
"""Entries of an index that are looked at."""

_NUMBER: Final = re.compile(r"\d+(?:[.,/]\d+)*")
_NAME: Final = re.compile(r"(?<=\w )[^\W\d_a-z]\w*")
"""A word with a capital that does not begin a sentence."""


@dataclass(frozen=True, slots=True)
class Subquestion:
    """A sub-question, and whether its answer ends the solution."""

    text: str
    last: bool

    @property
    def key(self) -> str:
        """What it is stored under: the same for the same words."""
        return _digest(f"{normalised(self.text)}\n{self.last}")


@dataclass(frozen=True, slots=True)
class Lesson:
    """An answer to remember."""

    asked: Subquestion
    text: str
    """The answer as the model wrote it."""
    answer: str
    """What it comes to."""
    evidence: str
    """Why it is believed, in words."""
    confidence: float
    """Its share of the votes, in [0, 1]."""
    votes: int


Refusal = tuple[str, str]
"""What a sub-question is stored under, and an answer to it that a person refused."""


def needed_store(store: BaseStore | None, settings: Settings) -> BaseStore | None:
    """`store`; `SettingsError` for one that nothing is to be remembered in."""
    if store is not None and settings.remember == "never":
        raise SettingsError(
            "there is a store, but remember is 'never'; set remember='conditions', or 'anywhere'"
        )
    return store


def memory_facts(root: NodeRecord, task: str, settings: Settings) -> MemoryFacts | None:
    """Where a run that begins now remembers; None where it does not.

    What was asked before in its thread is one of the conditions.

    Raises:
        SettingsError: The graph has no store.
    """
    if settings.remember == "never":
        return None
    if get_runtime().store is None:
        raise SettingsError(
            f"remember is {settings.remember!r}, but there is no store; pass store=, or compile "
            "the graph with one"
        )
    scope = "anywhere"
    if settings.remember == "conditions":
        question: str = root["run"]["question"]
        said = normalised(context_of(question)) or normalised(question)
        shown = map(repr, root["run"].get("images", ()))
        before = (turn["question"] for turn in root.get("turns", ()))
        scope = _digest("\n".join([said, *shown, *before]))
    namespace = ["qstar", "subquestions", task.replace(".", "_") or "task", scope]
    return {"namespace": namespace, "before": time(), "near": settings.remember_near}


def recalled(
    memory: MemoryFacts | None, asked: Sequence[Subquestion]
) -> Generator[Call, Any, list[RememberedRecord | None]]:
    """What is remembered of each sub-question; None where nothing is."""
    if memory is None or not asked:
        return [None] * len(asked)
    namespace = tuple(memory["namespace"])
    items = yield _batch([GetOp(namespace, each.key) for each in asked])
    found = [_usable(item, memory) for item in items or [None] * len(asked)]
    missing = [place for place, item in enumerate(found) if item is None]
    if memory["near"] is not None and missing:
        searches = [
            SearchOp(namespace, limit=NEAREST, query=normalised(asked[place].text))
            for place in missing
        ]
        near = yield _batch(searches)
        for place, items in zip(missing, near or [], strict=False):
            found[place] = _nearest(asked[place], items, memory)
    return [None if item is None else _record(item) for item in found]


def learnt(
    memory: MemoryFacts,
    question: str,
    lessons: Sequence[Lesson],
    refused: Collection[Refusal] = (),
) -> Generator[Call, Any, None]:
    """Store `lessons`; those that are known already stay as they are, unless they are `refused`."""
    found = {
        each.asked.key: each
        for each in reversed(lessons)
        if (each.asked.key, each.text) not in refused
    }
    keys = list(dict.fromkeys([*found, *sorted(key for key, _ in refused)]))
    if not keys:
        return
    namespace = tuple(memory["namespace"])
    known = yield _batch([GetOp(namespace, key) for key in keys])
    puts = []
    for key, item in zip(keys, known or (), strict=False):
        if item is not None and (key, item.value.get("text")) not in refused:
            continue
        if key in found:
            value = _value(found[key], question)
            puts.append(PutOp(namespace, key, value, index=["question"]))
        elif item is not None:
            puts.append(PutOp(namespace, key, None))
    if puts:
        yield _batch(puts)


def _batch(operations: Sequence[Any]) -> Call:
    """The operations on the store of the run; what comes back is None where it failed."""
    store: BaseStore = get_runtime().store  # type: ignore[assignment]  # root has seen to it

    def run() -> Any:
        try:
            return store.batch(operations)
        except Exception as error:  # noqa: BLE001  # a store may raise what it likes
            _tell_failed(error)

    async def arun() -> Any:
        try:
            return await store.abatch(operations)
        except Exception as error:  # noqa: BLE001
            _tell_failed(error)

    return timed(Call(run, arun), lambda: None)


def _tell_failed(error: Exception) -> None:
    reason = str(error).partition("\n")[0]
    warnings.warn(
        f"the store of sub-questions failed, and the search goes on without it: "
        f"{type(error).__name__}: {reason}",
        stacklevel=2,
    )


def _usable(item: Item | None, memory: MemoryFacts) -> Item | None:
    """An entry that was there when the search began, and is one of ours."""
    if item is None or item.value.get("stored_at", float("inf")) > memory["before"]:
        return None
    return item


def _nearest(asked: Subquestion, items: Sequence[Any], memory: MemoryFacts) -> Item | None:
    least = memory["near"] or 1.0
    for item in items:
        if item.score is None or item.score < least or _usable(item, memory) is None:
            continue
        alike = _particulars(item.value["subquestion"]) == _particulars(asked.text)
        if alike and item.value["last"] == asked.last:
            return item  # type: ignore[no-any-return]
    return None


def _particulars(text: str) -> tuple[Counter[str], Counter[str]]:
    """The numbers and names of a text: what texts differ in that mean nearly the same."""
    asked = unlabelled(text)
    return Counter(_NUMBER.findall(asked)), Counter(_NAME.findall(asked))


def _value(lesson: Lesson, question: str) -> dict[str, Any]:
    return {
        "question": normalised(lesson.asked.text),
        "subquestion": lesson.asked.text.strip(),
        "last": lesson.asked.last,
        "text": lesson.text,
        "answer": lesson.answer,
        "asked_in": question,
        "evidence": lesson.evidence,
        "confidence": lesson.confidence,
        "votes": lesson.votes,
        "stored_at": time(),
    }


def _record(item: Item) -> RememberedRecord:
    value = item.value
    return {
        "key": item.key,
        "subquestion": value["subquestion"],
        "text": value["text"],
        "answer": value["answer"],
        "asked_in": value["asked_in"],
        "evidence": value["evidence"],
        "confidence": value["confidence"],
        "votes": value["votes"],
    }


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
