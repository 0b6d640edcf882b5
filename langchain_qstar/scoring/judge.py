"""Any LangChain chat model as a judge of steps: it writes a grade from 0 to 10.

Source: Zheng et al., "Judging LLM-as-a-Judge", 2023 (grading a single answer).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage

from langchain_qstar.errors import ModelError
from langchain_qstar.models.chat_calls import ChatCalls
from langchain_qstar.models.instruction import shown_with
from langchain_qstar.prompting import Prompt, load_prompt
from langchain_qstar.protocols import ScoreRequest, Scores, State, Step
from langchain_qstar.spending.scoring import affordable

_GRADE: Final = re.compile(r"Grade:\W*(\d+(?:\.\d+)?)", re.IGNORECASE)
_UNKNOWN: Final = 0.5
_NO_STEPS: Final = "(none)"


@cache
def _prompt() -> Prompt:
    return load_prompt("judge", {"question", "steps", "step"})


class JudgeScorer:
    """A grade of `prompts/judge.txt`, as a value in [0, 1].

    A reply without a grade counts as 0.5, and in `unparsed`. When every call of a batch
    fails, `ModelError` is raised; a single one that fails is a reply without a grade.
    Images of the question are shown to the model.
    """

    traced: ClassVar = True
    """Every call of the model is a run of its own in traces."""

    def __init__(self, model: BaseChatModel, *, max_concurrency: int = 16) -> None:
        """Ask `model`, at most `max_concurrency` questions at a time."""
        self._model = model
        self._calls = ChatCalls(model, max_concurrency)
        self.unparsed = 0
        """Replies so far that held no grade."""

    @property
    def name(self) -> str:
        """A short name for reports."""
        return f"judge:{type(self._model).__name__}"

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Ask about all candidates of all requests.

        Raises:
            ModelError: Every call failed.
        """
        asked = _asked(requests)
        count, budget = affordable(len(asked))
        options = self._calls.limited(budget)
        replies = self._calls.ask(asked[:count], options) if count else []
        return self._scores(requests, replies)

    async def ascore(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """As `score`, without blocking the event loop."""
        asked = _asked(requests)
        count, budget = affordable(len(asked))
        options = self._calls.limited(budget)
        replies = await self._calls.aask(asked[:count], options) if count else []
        return self._scores(requests, replies)

    def _scores(self, requests: Sequence[ScoreRequest], replies: Sequence[Any]) -> list[Scores]:
        failures = [each for each in replies if isinstance(each, BaseException)]
        if failures and len(failures) == len(replies):
            raise ModelError(f"every call of {self.name} failed: {failures[0]}") from failures[0]
        rest = iter(replies)
        # Steps that no budget was left for get no reply; whoever asked does not use the rest.
        return [self._scored([next(rest, None) for _ in request.steps]) for request in requests]

    def _scored(self, replies: Sequence[Any]) -> Scores:
        usages = [getattr(reply, "usage_metadata", None) or {} for reply in replies]
        return Scores(
            tuple(map(self._value, replies)),
            completions=sum(reply is not None for reply in replies),
            generated_tokens=sum(int(each.get("output_tokens", 0)) for each in usages),
            read_tokens=sum(int(each.get("input_tokens", 0)) for each in usages),
        )

    def _value(self, reply: Any) -> float:
        text = str(reply.text) if isinstance(reply, BaseMessage) else ""
        grades = _GRADE.findall(text)
        if not grades or float(grades[-1]) > 10:
            self.unparsed += 1
            return _UNKNOWN
        return float(grades[-1]) / 10


def _asked(requests: Sequence[ScoreRequest]) -> list[Any]:
    return [
        [HumanMessage(shown_with(_text(r.state, step), r.state.images))]
        for r in requests
        for step in r.steps
    ]


def _text(state: State, step: Step) -> str:
    return _prompt().fill(
        question=state.question, steps=state.text.strip() or _NO_STEPS, step=step.text.strip()
    )
