"""Any LangChain chat model as a policy, with less than a local model offers.

A chat model has no token ids, no log-probabilities and no seeds: the same
request may give other completions next time. It is asked, by instruction, for
the next step only, and the steps so far are shown to it as text. One call is
one sample. What it cannot do besides is found out in use and told in
`ChatModelPolicy.shortfalls`:

- A model that refuses stop strings is called without them, from then on. As
  from one that ignores them, more is generated than is kept.
- A model that reports no usage is charged an estimate.
- Where a budget of tokens leaves less than a model might write, the call says so by
  `max_tokens`, the name that most integrations know. One that refuses it is called without.
- A call that takes longer than the time allows is cancelled; blocking ones cannot be, and end
  unheard. What it cost is not known.
- Grammars are left out. A request that requires one raises `GrammarError`.

Images of a question are put before the text of the last message, as they are, in the form
that every integration of LangChain reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Generator, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage

from langchain_qstar.driving import adrive, drive
from langchain_qstar.errors import GrammarError, ModelError, SettingsError
from langchain_qstar.models.chat_calls import LIMIT, ChatCalls, Reply
from langchain_qstar.models.instruction import (
    estimated_tokens,
    instruction,
    kept,
    shown_with,
)
from langchain_qstar.protocols import Completion, Finish, SampleRequest
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

_NO_LIMIT: Final = (
    "max_tokens: refused by the model; a budget of tokens is passed by what it writes at once"
)
_LIMIT_IGNORED: Final = (
    "max_tokens: ignored by the model; a budget of tokens is passed by what it writes at once"
)


class _Said(NamedTuple):
    """A reply, and the tokens of one before it that was of no use."""

    reply: Reply
    before: int = 0


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
        self._calls = ChatCalls(model, max_concurrency)
        self._shortfalls = dict(_ALWAYS)
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
    def keeps_time(self) -> bool:
        """See `KeepsTime`: a call that takes too long is cancelled, or left where it runs."""
        return True

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
        return drive(self._asking(requests), lambda asked: self._calls.ask(*asked))

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """As `sample`, without blocking the event loop."""
        return await adrive(self._asking(requests), lambda asked: self._calls.aask(*asked))

    def _asking(
        self, requests: Sequence[SampleRequest]
    ) -> Generator[tuple[list[Any], dict[str, Any]], list[Reply], list[list[Completion]]]:
        """Yields inputs and options, is sent the replies, and returns the completions."""
        found: dict[int, list[_Said]] = {}
        for options, numbers in self._groups(requests):
            inputs = self._inputs(requests, numbers)
            replies = yield inputs, self._taken(options)
            said = [_Said(each) for each in replies]
            if self._was_stopped_thinking(options, replies):
                spent = [_generated(each) for each in replies]
                left = self._left(options, max(spent))
                if left is None or left.get(LIMIT, 1) > 0:
                    replies = yield inputs, self._taken(left or options)
                    said = [_Said(*each) for each in zip(replies, spent, strict=True)]
            if options.get("stop") and not self._calls.takes_stop:
                self._shortfalls["stop"] = _NO_STOP
            if LIMIT in options and not self._calls.takes_limit:
                self._shortfalls[LIMIT] = _NO_LIMIT
            rest = iter(said)
            for number in numbers:
                found[number] = [next(rest) for _ in requests[number].seeds]
        return self._completions(requests, found)

    @staticmethod
    def _left(options: dict[str, Any], spent: int) -> dict[str, Any] | None:
        """The options with what is left of the tokens of a reply; None where they are no matter."""
        if LIMIT not in options:
            return None
        return {**options, LIMIT: options[LIMIT] - spent}

    def _groups(self, requests: Sequence[SampleRequest]) -> list[tuple[dict[str, Any], list[int]]]:
        """Requests by the options they share: one batch has one set of options."""
        self._refuse_grammars(requests)
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            passed = {name: getattr(request, name) for name in self._passes}
            passed = {**self._calls.limited(request.budget), **passed}
            groups[request.stop, tuple(passed.items())].append(number)
        return [
            (dict(passed) | ({"stop": list(stop)} if stop else {}), numbers)
            for (stop, passed), numbers in groups.items()
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
        """The options without stop strings, which would end a thought."""
        return {k: v for k, v in options.items() if not self._thinks or k != "stop"}

    def _was_stopped_thinking(self, options: dict[str, Any], answers: Sequence[Any]) -> bool:
        texts = [_text(each) for each in answers if isinstance(each, BaseMessage)]
        if (
            not any(map(is_cut, texts))
            or "stop" not in options
            or self._thinks
            or not self._calls.takes_stop
        ):
            return False
        self._thinks = True
        return True

    @staticmethod
    def _inputs(requests: Sequence[SampleRequest], numbers: list[int]) -> list[Any]:
        return [
            messages
            for number in numbers
            for messages in [_messages(requests[number])] * len(requests[number].seeds)
        ]

    def _completions(
        self, requests: Sequence[SampleRequest], found: dict[int, list[_Said]]
    ) -> list[list[Completion]]:
        failures = [
            said.reply
            for group in found.values()
            for said in group
            if isinstance(said.reply, BaseException)
        ]
        calls = sum(len(group) for group in found.values())
        if failures and len(failures) == calls:
            raise ModelError(f"every call of {self._name} failed: {failures[0]}") from failures[0]
        return [
            [self._completion(request, *said) for said in found[number]]
            for number, request in enumerate(requests)
        ]

    def _completion(self, request: SampleRequest, reply: Reply, before: int) -> Completion:
        """What a reply comes to, after `before` tokens of one that was of no use."""
        if reply is None or isinstance(reply, BaseException):
            finish: Finish = "cancelled" if reply is None else "error"
            return Completion(text="", finish=finish, generated=before)
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
        generated = int(usage.get("output_tokens", self.count_tokens(max(whole, text, key=len))))
        if request.budget is not None and before + generated > request.budget:
            self._shortfalls.setdefault(LIMIT, _LIMIT_IGNORED)
        prompt = "".join(content for _, content in instruction(request))
        return Completion(
            text=text,
            finish=finish,
            generated=before + generated,
            prompt_tokens=int(usage.get("input_tokens", self.count_tokens(prompt))),
            reused_tokens=int(details.get("cache_read", 0)),
            thought_tokens=before + self.count_tokens(thought),
        )


def _messages(request: SampleRequest) -> list[Any]:
    """What the model is asked, with the images of the question."""
    *before, (role, asked) = instruction(request)
    if not request.state.images:
        return [*before, (role, asked)]
    return [*before, HumanMessage(shown_with(asked, request.state.images))]


def _generated(reply: Reply) -> int:
    """The tokens that were generated for a reply."""
    usage = getattr(reply, "usage_metadata", None) or {}
    return int(usage.get("output_tokens", estimated_tokens(_text(reply))))


def _text(reply: Reply) -> str:
    return str(reply.text) if isinstance(reply, BaseMessage) else ""


def _was_cut(reply: Reply) -> bool:
    metadata = getattr(reply, "response_metadata", None) or {}
    return any(metadata.get(key) in _CUT for key in ("finish_reason", "stop_reason"))
