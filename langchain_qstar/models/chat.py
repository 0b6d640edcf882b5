"""Any LangChain chat model as a policy, with less than a local model offers.

A chat model has no token ids, no log-probabilities and no seeds: the same
request may give other completions next time. It is asked, by instruction, for
the next step only, and the steps so far are shown to it as text. One call is
one sample. What it cannot do besides is found out in use and told in
`ChatModelPolicy.shortfalls`:

- A model that refuses stop strings is called without them, from then on. As
  from one that ignores them, more is generated than is kept.
- A model that reports no usage is charged an estimate.
- Grammars are left out. A request that requires one raises `GrammarError`.

Images of a question are put before the text of the last message, as they are, in the form
that every integration of LangChain reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from langchain_qstar.errors import GrammarError, ModelError, SettingsError
from langchain_qstar.models.instruction import (
    estimated_tokens,
    instruction,
    kept,
    shown_with,
)
from langchain_qstar.protocols import Completion, SampleRequest
from langchain_qstar.stepping.thinking import apart, is_cut

_CAN_PASS: Final = ("temperature", "top_p", "max_tokens")
_CUT: Final = frozenset({"length", "max_tokens", "MAX_TOKENS"})
_ALWAYS: Final = {
    "n": "n: one call a sample",
    "seed": "seed: not used; the same search may end otherwise next time",
}
_NO_STOP: Final = "stop: refused by the model; its replies are cut, and more is generated than kept"
_STOP_IGNORED: Final = (
    "stop: ignored by the model; its replies are cut, and more is generated than kept"
)
_CUT_AT_END: Final = (
    "steps: a chat model is not stopped at the end of a step; its replies are cut, and more is "
    "generated than kept"
)
_THINKS: Final = (
    "thoughts: told in the replies; the model is asked without stop strings, its thoughts are "
    "kept apart, and they count as generated"
)
_NO_GRAMMAR: Final = "grammar: not enforced by a chat model; left out"
_NO_USAGE: Final = "usage: not reported by the model; tokens are estimated"

Reply = AIMessage | BaseMessage | BaseException
_REFUSALS: Final = (TypeError, ValueError, NotImplementedError)
"""What integrations raise for an argument that they do not take."""


class ChatModelPolicy:
    """A LangChain chat model as a `Policy`.

    A call that fails gives an empty completion with finish `error`; only when
    all calls of a batch fail is `ModelError` raised.
    """

    def __init__(
        self,
        model: BaseChatModel,
        *,
        name: str | None = None,
        window: int | None = None,
        passes: Collection[str] = (),
        max_concurrency: int = 16,
    ) -> None:
        """Wrap `model`.

        Args:
            model: Any chat model.
            name: For reports; default the model's class.
            window: Its context length in tokens, if known.
            passes: Which of `temperature`, `top_p` and `max_tokens` to pass
                with each call, for integrations that take them so. By default
                the model's own settings hold.
            max_concurrency: Most calls at a time.

        Raises:
            SettingsError: `passes` names something else.
        """
        unknown = set(passes) - set(_CAN_PASS)
        if unknown:
            raise SettingsError(f"passes={sorted(unknown)}: choose among {', '.join(_CAN_PASS)}")
        self._model = model
        self._name = name or type(model).__name__
        self._window = window
        self._passes = tuple(option for option in _CAN_PASS if option in passes)
        self._config = RunnableConfig(max_concurrency=max_concurrency)
        self._shortfalls = dict(_ALWAYS)
        self._takes_stop = True
        self._thinks = False

    traced: ClassVar = True
    """Every call of the model is a run of its own in traces."""

    @property
    def name(self) -> str:
        """A short name for reports."""
        return self._name

    @property
    def window(self) -> int | None:
        """Context length in tokens, or None when unknown."""
        return self._window

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """What the model could not do as asked so far, a line each."""
        return tuple(self._shortfalls.values())

    @property
    def chats(self) -> bool:
        """True: it is a chat model."""
        return True

    @property
    def gives_logprobs(self) -> bool:
        """False: replies of chat models are text."""
        return False

    @property
    def takes_images(self) -> bool:
        """Whether the model takes images: unless its profile says that it does not."""
        profile = getattr(self._model, "profile", None) or {}
        return profile.get("image_inputs") is not False

    def count_tokens(self, text: str) -> int:
        """An estimate: a token per four characters, as English has on average."""
        return estimated_tokens(text)

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """Sample all requests; see `Policy.sample`. Seeds are not used.

        Raises:
            GrammarError: A request requires its grammar.
            ModelError: Every call failed.
        """
        replies: dict[int, list[Reply]] = {}
        for options, numbers in self._groups(requests):
            inputs = self._inputs(requests, numbers)
            answers = self._model.batch(
                inputs, self._config, return_exceptions=True, **self._taken(options)
            )
            if self._needs_no_stop(options, answers):
                answers = self._model.batch(
                    inputs, self._config, return_exceptions=True, **self._taken(options)
                )
            _deal(requests, numbers, answers, replies)
        return self._completions(requests, replies)

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """As `sample`, without blocking the event loop."""
        replies: dict[int, list[Reply]] = {}
        for options, numbers in self._groups(requests):
            inputs = self._inputs(requests, numbers)
            answers = await self._model.abatch(
                inputs, self._config, return_exceptions=True, **self._taken(options)
            )
            if self._needs_no_stop(options, answers):
                answers = await self._model.abatch(
                    inputs, self._config, return_exceptions=True, **self._taken(options)
                )
            _deal(requests, numbers, answers, replies)
        return self._completions(requests, replies)

    def _groups(self, requests: Sequence[SampleRequest]) -> list[tuple[dict[str, Any], list[int]]]:
        """Requests by the options they share: one batch has one set of options."""
        self._refuse_grammars(requests)
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            values = tuple(getattr(request, name) for name in self._passes)
            groups[request.stop, values].append(number)
        return [
            (
                dict(zip(self._passes, values, strict=True))
                | ({"stop": list(stop)} if stop else {}),
                numbers,
            )
            for (stop, values), numbers in groups.items()
        ]

    def _refuse_grammars(self, requests: Sequence[SampleRequest]) -> None:
        if any(request.grammar is not None and request.grammar_required for request in requests):
            raise GrammarError(
                f"{self._name} cannot be held to a grammar; "
                "use a local model, or a server that enforces grammars"
            )
        if any(request.grammar is not None for request in requests):
            self._shortfalls["grammar"] = _NO_GRAMMAR

    def _taken(self, options: dict[str, Any]) -> dict[str, Any]:
        """Those of `options` that the model does not refuse."""
        stops = self._takes_stop and not self._thinks
        return {k: v for k, v in options.items() if stops or k != "stop"}

    def _needs_no_stop(self, options: dict[str, Any], answers: Sequence[Any]) -> bool:
        """Whether to ask again without stop strings: they were refused, or ended a thought."""
        return self._refused_stop(options, answers) or self._was_stopped_thinking(options, answers)

    def _was_stopped_thinking(self, options: dict[str, Any], answers: Sequence[Any]) -> bool:
        texts = [_text(each) for each in answers if isinstance(each, BaseMessage)]
        if (
            not any(map(is_cut, texts))
            or "stop" not in options
            or self._thinks
            or not self._takes_stop
        ):
            return False
        self._thinks = True
        return True

    def _refused_stop(self, options: dict[str, Any], answers: Sequence[Any]) -> bool:
        """Whether the model seems to refuse stop strings, and is to be asked without them."""
        refused = all(isinstance(answer, _REFUSALS) for answer in answers)
        if not (refused and "stop" in options and self._takes_stop):
            return False
        self._takes_stop = False
        self._shortfalls["stop"] = _NO_STOP
        return True

    @staticmethod
    def _inputs(requests: Sequence[SampleRequest], numbers: list[int]) -> list[Any]:
        return [
            messages
            for number in numbers
            for messages in [_messages(requests[number])] * len(requests[number].seeds)
        ]

    def _completions(
        self, requests: Sequence[SampleRequest], replies: dict[int, list[Reply]]
    ) -> list[list[Completion]]:
        failures = [
            reply
            for group in replies.values()
            for reply in group
            if isinstance(reply, BaseException)
        ]
        calls = sum(len(group) for group in replies.values())
        if failures and len(failures) == calls:
            raise ModelError(f"every call of {self._name} failed: {failures[0]}") from failures[0]
        return [
            [self._completion(request, reply) for reply in replies[number]]
            for number, request in enumerate(requests)
        ]

    def _completion(self, request: SampleRequest, reply: Reply) -> Completion:
        if isinstance(reply, BaseException):
            return Completion(text="", finish="error")
        whole = _text(reply)
        thought, said = apart(whole)
        if thought:
            self._shortfalls["thoughts"] = _THINKS
        text, finish = kept(said, request, cut=_was_cut(reply) or is_cut(whole))
        if request.end_in(said.rstrip()) and said.strip() not in text:
            key, line = ("stop", _STOP_IGNORED) if request.ends is None else ("ends", _CUT_AT_END)
            self._shortfalls.setdefault(key, line)
        usage = getattr(reply, "usage_metadata", None) or {}
        if not usage:
            self._shortfalls["usage"] = _NO_USAGE
        details = usage.get("input_token_details") or {}
        prompt = "".join(content for _, content in instruction(request))
        return Completion(
            text=text,
            finish=finish,
            generated=int(usage.get("output_tokens", self.count_tokens(max(whole, text, key=len)))),
            prompt_tokens=int(usage.get("input_tokens", self.count_tokens(prompt))),
            reused_tokens=int(details.get("cache_read", 0)),
            thought_tokens=self.count_tokens(thought),
        )


def _messages(request: SampleRequest) -> list[Any]:
    """What the model is asked, with the images of the question."""
    *before, (role, asked) = instruction(request)
    if not request.state.images:
        return [*before, (role, asked)]
    return [*before, HumanMessage(shown_with(asked, request.state.images))]


def _deal(
    requests: Sequence[SampleRequest],
    numbers: list[int],
    answers: Sequence[Any],
    replies: dict[int, list[Reply]],
) -> None:
    """Give each request of a group its replies, in order."""
    remaining = iter(answers)
    for number in numbers:
        replies[number] = [next(remaining) for _ in requests[number].seeds]


def _text(reply: Reply) -> str:
    return str(reply.text) if isinstance(reply, BaseMessage) else ""


def _was_cut(reply: Reply) -> bool:
    metadata = getattr(reply, "response_metadata", None) or {}
    return any(metadata.get(key) in _CUT for key in ("finish_reason", "stop_reason"))
