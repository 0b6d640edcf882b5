"""Calls of a LangChain chat model: many at a time, within the time, and by options that it takes.

Integrations differ in which options they take with a call, and tell by raising. What one
refuses is left out from then on.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig

from langchain_qstar.driving import adrive, drive
from langchain_qstar.spending.allowance import deadline
from langchain_qstar.spending.in_time import aeach_in_time, each_in_time

Reply = BaseMessage | BaseException | None
"""What a call came to; None where its time was over first."""

REFUSALS: Final = (TypeError, ValueError, NotImplementedError)
"""What integrations raise for an argument that they do not take."""

LIMIT: Final = "max_tokens"


class ChatCalls:
    """Asks a chat model.

    Attributes:
        takes_stop: Whether it has not refused stop strings.
        takes_limit: Whether it has not refused the most tokens of a reply.
    """

    def __init__(self, model: BaseChatModel, most: int) -> None:
        """Ask `model`, `most` questions at a time."""
        self._model = model
        self._most = most
        self._config = RunnableConfig(max_concurrency=most)
        self.takes_stop = True
        self.takes_limit = True

    def limited(self, budget: int | None) -> dict[str, Any]:
        """The option that holds a reply to `budget` tokens; its own limit stays, if less."""
        if budget is None or not self.takes_limit:
            return {}
        own = getattr(self._model, LIMIT, None)
        return {LIMIT: min(budget, own) if isinstance(own, int) and own > 0 else budget}

    def ask(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Reply]:
        """The reply to each input, or what its call raised."""
        return drive(self._asking(options), lambda taken: self._batch(inputs, taken))

    async def aask(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Reply]:
        """As `ask`, without blocking the event loop."""
        return await adrive(self._asking(options), lambda taken: self._abatch(inputs, taken))

    def _asking(
        self, options: dict[str, Any]
    ) -> Generator[dict[str, Any], list[Reply], list[Reply]]:
        """The options to ask with until some are not refused."""
        before = self.takes_stop, self.takes_limit
        tries = [before, (before[0], False), (False, before[1]), (False, False)]
        asked: list[dict[str, Any]] = []
        first: list[Reply] | None = None
        for self.takes_stop, self.takes_limit in tries:
            taken = self._taken(options)
            if taken in asked:
                continue
            asked.append(taken)
            replies = yield taken
            if not replies or not all(isinstance(each, REFUSALS) for each in replies):
                return replies
            first = first or replies
        self.takes_stop, self.takes_limit = before  # it was something else that it refused
        return first or []

    def _taken(self, options: dict[str, Any]) -> dict[str, Any]:
        takes = {"stop": self.takes_stop, LIMIT: self.takes_limit}
        return {key: value for key, value in options.items() if takes.get(key, True)}

    def _batch(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Any]:
        if deadline() is None:
            return self._model.batch(list(inputs), self._config, return_exceptions=True, **options)

        def invoke(each: Any) -> Any:
            try:
                return self._model.invoke(each, **options)
            except Exception as error:  # noqa: BLE001 - as `batch` returns them
                return error

        return each_in_time([partial(invoke, each) for each in inputs], self._most)

    async def _abatch(self, inputs: Sequence[Any], options: dict[str, Any]) -> list[Any]:
        if deadline() is None:
            return await self._model.abatch(
                list(inputs), self._config, return_exceptions=True, **options
            )

        async def invoke(each: Any) -> Any:
            try:
                return await self._model.ainvoke(each, **options)
            except Exception as error:  # noqa: BLE001
                return error

        return await aeach_in_time([partial(invoke, each) for each in inputs], self._most)
