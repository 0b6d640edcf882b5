"""Search as middleware of an agent: at the turns where it pays.

A turn is one call of the agent's model. Search can do two things with it. It can
draw several replies, tool calls included, and take the one a scorer likes best
(or, without a scorer, the one given most often). And it can give the final answer
itself, in place of the model, by a chain such as `QStarChain`.

The logic of a turn is one generator. What it yields, a result or an awaitable of
one, is sent back to it as the result, so that it serves blocking and async agents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langgraph.constants import TAG_NOSTREAM

from langchain_qstar.agents.conversation import (
    Asked,
    last_human_text,
    question_of,
    state_of,
    step_of,
    without_opening,
)
from langchain_qstar.agents.replies import groups_of, same_words, sureness, with_cost
from langchain_qstar.agents.solving import asolved, solved
from langchain_qstar.agents.wording import reply_of
from langchain_qstar.chains import QStarChain, SolverChain
from langchain_qstar.errors import MissingExtraError, QuestionError, SettingsError
from langchain_qstar.protocols import ScoreCallable, ScoreRequest, StepScorer
from langchain_qstar.scoring.callable import CallableScorer
from langchain_qstar.solution import Solution

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
except ImportError as error:
    raise MissingExtraError(error.name or "langchain", "agents") from error

When = Literal["always", "on_request", "unsure"]


@dataclass(frozen=True, slots=True)
class _Calls:
    """What a turn may call: each gives a result, or an awaitable of one."""

    ask: Callable[[int], Any]
    """So many replies of the agent's model, each a `ModelResponse`."""
    score: Callable[[list[ScoreRequest]], Any]
    solve: Callable[[Asked], Any]
    """A `Solution`, or the `QuestionError` of a question that cannot be asked."""


_Turn = Generator[Any, Any, ModelResponse[Any]]


class QStarMiddleware(AgentMiddleware[Any, Any, Any]):
    """Deliberate search at the turns of an agent.

    At a turn that is searched, in this order:

    1. With a `scorer`, `samples` replies of the agent's own model are drawn and the
       best one goes on, whether it calls tools or answers. Equal ones are scored
       once. Of equally good ones the first is taken.
    2. A reply that calls tools is passed on as it is.
    3. A final answer is replaced by the chain's, if there is a chain. What was
       known so far, the question and what tools returned since, is its question.
       The model is not even asked at a turn where it has no tools to call. When the
       search finds no answer, or its question is too long, shows an image to a model that
       reads text only, or there is none, the model's own answer stands. So it does where
       the agent wants structured output.

    The cost of all that is in `usage_metadata` of the message; how it came about in
    its `response_metadata`: for a choice under `search` (`samples`, `values`,
    `confidence`), for a searched answer as for a chain with `output="message"`.

    With a checkpointer the search is checkpointed with the agent, and resumes with it.
    Replies that were drawn in a turn that was killed are drawn again.

    Args:
        chain: Answers: `QStarChain`, or any `SolverChain`. None is `QStarChain()`,
            the bundled model, if there is no scorer either, and otherwise none.
        scorer: A `StepScorer`, or a function `(state, steps) -> list[float]` with
            values in [0, 1]. A step is a whole reply, its text and a line a tool call
            such as `search({"query": "Q*"})`; the state's `messages` are the
            conversation.
        when: `"always"`: at every turn. `"on_request"`: when `requested` says so.
            `"unsure"`: when the model's confidence in its reply is below `threshold`.
        samples: Replies that are drawn for the scorer, and for the confidence.
        threshold: In [0, 1]. The confidence is the geometric mean of the
            reply's token probabilities (the exponential of its mean log-probability)
            where the model gives log-probabilities, else the share of `samples`
            replies that are the same as the most frequent one. That one goes on if
            there is no scorer.
        requested: Which turns are searched with `"on_request"`. A text: those where the
            last human message starts with it; the chain's question is without it. Or
            a function of the `ModelRequest`, which has the messages, the state and
            the runtime with its context.
        question: The conversation as a question for the chain, a text or a message with a
            text and images; None leaves the turn to the model.

    Raises:
        SettingsError: An argument is out of range.
        MissingExtraError: The extra `agents` is not installed.
    """

    def __init__(
        self,
        chain: SolverChain | None = None,
        *,
        scorer: StepScorer | ScoreCallable | None = None,
        when: When = "always",
        samples: int = 4,
        threshold: float = 0.7,
        requested: str | Callable[[ModelRequest[Any]], bool] = "/search",
        question: Callable[[Sequence[BaseMessage]], Asked | None] = question_of,
    ) -> None:
        super().__init__()
        _check(chain, scorer, when=when, samples=samples, threshold=threshold)
        if chain is None and scorer is None:
            chain = QStarChain()
        self._chain = None if chain is None else chain.returning("solution")
        self._scorer = (
            scorer if scorer is None or isinstance(scorer, StepScorer) else CallableScorer(scorer)
        )
        self._when = when
        self._samples = samples
        self._threshold = threshold
        self._requested = requested
        self._question = question

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """One turn of a blocking agent."""
        quiet = self._quiet(request)

        def ask(count: int) -> list[ModelResponse[Any]]:
            if count == 1:
                return [handler(quiet)]
            with ContextThreadPoolExecutor(count) as pool:
                return list(pool.map(handler, [quiet] * count))

        calls = _Calls(ask, self._score, self._solve)
        turn = self._turn(request, calls)
        result = None
        while True:
            try:
                result = turn.send(result)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """One turn of an async agent."""
        quiet = self._quiet(request)

        async def ask(count: int) -> list[ModelResponse[Any]]:
            return await asyncio.gather(*(handler(quiet) for _ in range(count)))

        calls = _Calls(ask, self._ascore, self._asolve)
        turn = self._turn(request, calls)
        result = None
        while True:
            try:
                waiting = turn.send(result)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            result = await waiting

    def _turn(self, request: ModelRequest[Any], calls: _Calls) -> _Turn:
        if self._when == "on_request" and not self._is_requested(request):
            return (yield calls.ask(1))[0]  # type: ignore[no-any-return]
        drawn: list[ModelResponse[Any]] = []
        facts: dict[str, Any] = {}
        if self._when == "unsure":
            drawn, facts = yield from self._measured(calls)
            if facts["confidence"] >= self._threshold:
                return self._most_frequent(drawn, facts)
        response = None
        if self._scorer:
            response = yield from self._best(request, drawn, facts, calls)
        elif drawn:
            response = self._most_frequent(drawn, facts)
        elif request.tools or request.response_format:
            response = (yield calls.ask(1))[0]
        found = yield from self._searched(request, response, calls)
        if isinstance(found, Solution) and found.answer is not None:
            return _answered(found, response)
        return _unanswered(response or (yield calls.ask(1))[0], found)

    def _quiet(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """The request, whose replies are not streamed where they might be replaced.

        Which reply it is to be is known when the turn ends, and then it is streamed.
        """
        if self._when == "on_request" and not self._is_requested(request):
            return request
        tags = [*(request.model.tags or []), TAG_NOSTREAM]
        return request.override(model=request.model.model_copy(update={"tags": tags}))

    def _is_requested(self, request: ModelRequest[Any]) -> bool:
        if callable(self._requested):
            return bool(self._requested(request))
        return last_human_text(request.messages).lstrip().startswith(self._requested)

    def _measured(
        self, calls: _Calls
    ) -> Generator[Any, Any, tuple[list[ModelResponse[Any]], dict[str, Any]]]:
        """The replies that were drawn to know the model's confidence, and that confidence."""
        drawn = list((yield calls.ask(1)))
        confidence = sureness(_reply_in(drawn[0]))
        if confidence is None:
            drawn += yield calls.ask(self._samples - 1)
            groups = groups_of([_reply_in(each) for each in drawn], self._same)
            confidence = max(map(len, groups)) / len(drawn)
        return drawn, {"samples": len(drawn), "confidence": confidence}

    def _most_frequent(
        self, drawn: list[ModelResponse[Any]], facts: dict[str, Any]
    ) -> ModelResponse[Any]:
        groups = groups_of([_reply_in(each) for each in drawn], self._same)
        return _chosen(drawn, max(groups, key=len)[0], facts)

    def _best(
        self,
        request: ModelRequest[Any],
        drawn: list[ModelResponse[Any]],
        facts: dict[str, Any],
        calls: _Calls,
    ) -> Generator[Any, Any, ModelResponse[Any]]:
        """Of `samples` replies the one of highest value."""
        if missing := self._samples - len(drawn):
            drawn = [*drawn, *(yield calls.ask(missing))]
        replies = [_reply_in(each) for each in drawn]
        firsts = [group[0] for group in groups_of(replies, same_words)]
        steps = tuple(step_of(replies[first]) for first in firsts)
        state = state_of([*_system(request), *request.messages])
        (scores,) = yield calls.score([ScoreRequest(state, steps)])
        best = max(range(len(firsts)), key=scores.values.__getitem__)
        told = {"samples": len(drawn), "values": list(scores.values)}
        return _chosen(drawn, firsts[best], facts | told)

    def _searched(
        self, request: ModelRequest[Any], response: ModelResponse[Any] | None, calls: _Calls
    ) -> Generator[Any, Any, Solution | QuestionError | None]:
        """What the chain finds, where it is its turn to answer."""
        if self._chain is None or request.response_format is not None:
            return None
        if response is not None and _reply_in(response).tool_calls:
            return None
        try:
            question = self._question(request.messages)
        except QuestionError as error:
            return error
        if question is None:
            return None
        if self._when == "on_request" and isinstance(self._requested, str):
            question = without_opening(question, self._requested)
        return (yield calls.solve(question))  # type: ignore[no-any-return]

    def _same(self, a: str, b: str) -> bool:
        """Whether two final answers are the same, by the chain's task where there is one."""
        if self._chain is None:
            return same_words(a, b)
        task = self._chain.task
        answers = task.answer(a), task.answer(b)
        if answers[0] is None or answers[1] is None:
            return same_words(a, b)
        return task.equivalent(answers[0], answers[1])

    def _score(self, requests: list[ScoreRequest]) -> Any:
        assert self._scorer
        return self._scorer.score(requests)

    async def _ascore(self, requests: list[ScoreRequest]) -> Any:
        assert self._scorer
        return await self._scorer.ascore(requests)

    def _solve(self, question: Asked) -> Solution | QuestionError:
        assert self._chain
        try:
            return solved(self._chain, question)
        except QuestionError as error:
            return error

    async def _asolve(self, question: Asked) -> Solution | QuestionError:
        assert self._chain
        try:
            return await asolved(self._chain, question)
        except QuestionError as error:
            return error


def _check(chain: Any, scorer: Any, *, when: Any, samples: Any, threshold: Any) -> None:
    """Raise `SettingsError` for the first argument that cannot be used."""
    if chain is not None and not isinstance(chain, SolverChain):
        raise SettingsError(f"chain={chain!r:.60} is no chain of this package, such as QStarChain")
    if not (scorer is None or isinstance(scorer, StepScorer) or callable(scorer)):
        raise SettingsError(
            f"scorer={scorer!r:.60}: give a StepScorer or a function (state, steps) -> list[float]"
        )
    if when not in get_args(When):
        raise SettingsError(f"when={when!r}: choose {', '.join(get_args(When))}")
    if not isinstance(samples, int) or samples < 2:
        raise SettingsError(f"samples={samples!r}: draw at least 2")
    if not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise SettingsError(f"threshold={threshold!r} is not in [0, 1]")


def _system(request: ModelRequest[Any]) -> list[BaseMessage]:
    return [] if request.system_message is None else [request.system_message]


def _reply_in(response: ModelResponse[Any]) -> AIMessage:
    """The model's message; with structured output a tool message follows it."""
    return next(message for message in response.result if isinstance(message, AIMessage))


def _with_reply(response: ModelResponse[Any], reply: AIMessage) -> ModelResponse[Any]:
    rest = [message for message in response.result if not isinstance(message, AIMessage)]
    return ModelResponse([reply, *rest], response.structured_response)


def _chosen(
    drawn: list[ModelResponse[Any]], place: int, facts: dict[str, Any]
) -> ModelResponse[Any]:
    replies = [_reply_in(each) for each in drawn]
    others = [*replies[:place], *replies[place + 1 :]]
    return _with_reply(drawn[place], with_cost(replies[place], others, facts))


def _answered(solution: Solution, response: ModelResponse[Any] | None) -> ModelResponse[Any]:
    """The search's answer, in place of what the model had said."""
    message = reply_of(solution)
    if response is None:
        return ModelResponse([message])
    reply = _reply_in(response)
    facts = reply.response_metadata.get("search", {})
    return ModelResponse(
        [with_cost(message, [reply], facts).model_copy(update={"name": reply.name})]
    )


def _unanswered(
    response: ModelResponse[Any], found: Solution | QuestionError | None
) -> ModelResponse[Any]:
    """The model's own reply, with why it stands and what the search cost."""
    if found is None:
        return response
    if isinstance(found, QuestionError):
        note, others = str(found), []
    else:
        failed = reply_of(found)
        note, others = str(failed.text), [failed]
    return _with_reply(response, with_cost(_reply_in(response), others, {"no_answer": note}))
