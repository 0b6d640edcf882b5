"""Passages that a retriever finds for a state, as a step of it.

What is looked for is what was written last: the question at the root, and elsewhere the
text of the last step (as in IRCoT, arXiv 2212.10509), of rStar's sub-questions the
sub-question. No model is asked. All states of a
batch are looked up together, by the retriever's own `batch` or `abatch`.

A retriever that fails, or finds nothing that the state does not know, is data: its step has
no text, and is closed with the reason. Passages are another's text: they are no reasoning, so
nothing in them is read as an answer, and no check and no scorer judges them.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableConfig

from langchain_qstar.errors import SettingsError
from langchain_qstar.nodes.phase import Call, timed
from langchain_qstar.prompting import Prompt, load_prompt
from langchain_qstar.protocols import Action, Completion, Policy, whole_characters
from langchain_qstar.tree import NodeRecord, PassageRecord, state_key

REASON: Final = 200
"""Most characters of the reason why there are no passages."""

LABELS: Final = ("source", "title", "url")
"""Metadata that name a passage to the model, in order; then its id, then its number."""

_TOGETHER: Final = RunnableConfig(max_concurrency=16)


@cache
def _prompt() -> Prompt:
    return load_prompt("passage", {"source", "text"})


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What was found for a state: passages, and the text of the step; or why there are none."""

    text: str = ""
    passages: tuple[PassageRecord, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How passages are looked up.

    Attributes:
        retriever: From a text to documents.
        policy: Counts tokens.
        stop: What ends a step.
        most: Retrievals on one path.
        tokens: Most tokens of a step's passages.
    """

    retriever: Runnable[str, Any]
    policy: Policy
    stop: Sequence[str]
    most: int
    tokens: int

    def found(
        self, question: str, paths: Mapping[str, Sequence[NodeRecord]]
    ) -> Generator[Call, Any, dict[str, Retrieved]]:
        """What there is for each state at which something may be looked up.

        A state that follows passages gets none, for it would look for what they say.

        Args:
            question: Of the run.
            paths: The steps of each state.
        """
        queries = {
            each: query for each, steps in paths.items() if (query := self._query(question, steps))
        }
        if not queries:
            return {}
        asked = list(queries.values())
        answers = yield timed(
            Call(
                lambda: self.retriever.batch(asked, _TOGETHER, return_exceptions=True),
                lambda: self.retriever.abatch(asked, _TOGETHER, return_exceptions=True),
            ),
            lambda: [TimeoutError("the time was over")] * len(asked),
        )
        return {
            node_id: self._read(answer, paths[node_id])
            for node_id, answer in zip(queries, answers, strict=True)
        }

    def _query(self, question: str, steps: Sequence[NodeRecord]) -> str:
        if not steps:
            return question.strip()
        before = sum(each["action"] == "retrieve" for each in steps)
        if steps[-1]["action"] == "retrieve" or before >= self.most:
            return ""
        return steps[-1].get("subquestion", steps[-1])["text"].strip()

    def _read(self, answer: Any, steps: Sequence[NodeRecord]) -> Retrieved:
        if isinstance(answer, BaseException):
            return Retrieved(failure=f"{type(answer).__name__}: {answer}"[:REASON])
        if not isinstance(answer, Sequence) or not all(isinstance(d, Document) for d in answer):
            return Retrieved(failure=f"it returned no documents: {answer!r}"[:REASON])
        known = {passage["text"] for step in steps for passage in step.get("passages", ())}
        passages = self._fitting(_passages(answer), known)
        if not passages:
            return Retrieved(failure="nothing new was found" if answer else "nothing was found")
        lines = [_line(each, number) for number, each in enumerate(passages, 1)]
        text = "\n".join(lines)
        end = self.stop[0] if self.stop else "\n"
        return Retrieved(text if text.endswith(end) else text + end, tuple(passages))

    def _fitting(self, passages: Iterable[PassageRecord], known: set[str]) -> list[PassageRecord]:
        """The passages that are new, as many as there is room for; the last may be cut."""
        left = self.tokens
        found: dict[str, PassageRecord] = {}
        for each in passages:
            if each["text"] in known | found.keys() or left < 1:
                continue
            size = self.policy.count_tokens(each["text"])
            if size <= left:
                found[each["text"]] = each
            elif shorter := _shortened(each["text"], left / size):
                found[each["text"]] = {**each, "text": shorter}
            left -= size
        return list(found.values())

    def completion(self, found: Retrieved) -> Completion:
        """The text of the step as a policy would have written it."""
        size = self.policy.count_tokens(found.text) if found.text else 0
        return Completion(found.text, generated=size)


def with_passages(record: NodeRecord, found: Retrieved) -> NodeRecord:
    """The record of a step with what was found, or why nothing was."""
    record = {**record, "passages": list(found.passages)}
    if found.failure:  # it leads to no new state, and is kept all the same
        record["failure"] = found.failure
        record["key"] = state_key(f"{record['id']}: {found.failure}")
    return record


def _shortened(text: str, share: float) -> str:
    """The first words of a text, about that share of them; empty when that is none."""
    words = text.split()
    kept = words[: int(len(words) * share)]
    return " ".join([*kept, "…"]) if kept else ""


def _passages(documents: Iterable[Document]) -> Iterable[PassageRecord]:
    for each in documents:
        if text := whole_characters(" ".join(each.page_content.split())):
            yield {"text": text, "id": each.id, "metadata": _stored(each.metadata)}


def _stored(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as JSON types; what has no such type as text."""
    text = json.dumps(dict(metadata), default=str, skipkeys=True, ensure_ascii=False)
    stored: dict[str, Any] = json.loads(whole_characters(text))
    return stored


def _line(passage: PassageRecord, number: int) -> str:
    named = (passage["metadata"].get(each) for each in LABELS)
    source = next((str(each) for each in named if each), passage["id"] or str(number))
    return _prompt().fill(source=" ".join(source.split()), text=passage["text"])


def retriever_of(given: Any, actions: Sequence[Action]) -> Runnable[str, Any] | None:
    """The retriever that the action `retrieve` uses; None where it is no action.

    Raises:
        SettingsError: There is no retriever for it, or one without it, or it is none.
    """
    if given is not None and not isinstance(given, Runnable):
        raise SettingsError(
            f"retriever={given!r:.60} is no retriever of LangChain; give a Runnable from text "
            "to documents"
        )
    retriever: Runnable[str, Any] | None = given
    if ("retrieve" in actions) == (retriever is not None):
        return retriever
    if retriever is None:
        raise SettingsError("actions names 'retrieve', but there is no retriever; pass retriever=")
    raise SettingsError(
        "there is a retriever, but actions does not name 'retrieve'; "
        "set actions=('propose_step', 'retrieve')"
    )
