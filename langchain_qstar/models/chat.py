"""Any LangChain chat model as a policy, with less than a local model offers.

A chat model has no token ids, no log-probabilities and no seeds: the same
request may give other completions next time. It is asked, by instruction, for
the next step only, and the steps so far are shown to it as text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig

from langchain_qstar.errors import ModelError, SettingsError
from langchain_qstar.prompting import Prompt, load_prompt
from langchain_qstar.protocols import BLANK_LINES, Completion, Finish, SampleRequest

_CAN_PASS: Final = ("temperature", "top_p", "max_tokens")
_CUT: Final = frozenset({"length", "max_tokens", "MAX_TOKENS"})
_NO_STEPS: Final = "(none yet)"

Reply = AIMessage | BaseMessage | BaseException
Messages = list[tuple[str, str]]


_HOLES: Final = {
    "next_step": {"problem", "steps"},
    "next_line": {"problem", "lines", "prefill"},
    "remaining_steps": {"problem", "steps"},
    "continuation": {"problem", "text"},
    "opening": {"request", "prefill"},
}


@cache
def _prompt(name: str) -> Prompt:
    return load_prompt(name, _HOLES[name])


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

    @property
    def name(self) -> str:
        """A short name for reports."""
        return self._name

    @property
    def window(self) -> int | None:
        """Context length in tokens, or None when unknown."""
        return self._window

    def count_tokens(self, text: str) -> int:
        """An estimate: a token per four characters, as English has on average."""
        return -(-len(text) // 4)

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """Sample all requests; see `Policy.sample`. Seeds are not used.

        Raises:
            ModelError: Every call failed.
        """
        replies: dict[int, list[Reply]] = {}
        for options, numbers in self._groups(requests):
            inputs = self._inputs(requests, numbers)
            answers = self._model.batch(inputs, self._config, return_exceptions=True, **options)
            _deal(requests, numbers, answers, replies)
        return self._completions(requests, replies)

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """As `sample`, without blocking the event loop."""
        replies: dict[int, list[Reply]] = {}
        for options, numbers in self._groups(requests):
            inputs = self._inputs(requests, numbers)
            answers = await self._model.abatch(
                inputs, self._config, return_exceptions=True, **options
            )
            _deal(requests, numbers, answers, replies)
        return self._completions(requests, replies)

    def _groups(self, requests: Sequence[SampleRequest]) -> list[tuple[dict[str, Any], list[int]]]:
        """Requests by the options they share: one batch has one set of options."""
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
        text, finish = _trim(_text(reply), request, cut=_was_cut(reply))
        usage = getattr(reply, "usage_metadata", None) or {}
        details = usage.get("input_token_details") or {}
        prompt = "".join(content for _, content in _messages(request))
        return Completion(
            text=text,
            finish=finish,
            generated=int(usage.get("output_tokens", self.count_tokens(text))),
            prompt_tokens=int(usage.get("input_tokens", self.count_tokens(prompt))),
            reused_tokens=int(details.get("cache_read", 0)),
        )


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


def _messages(request: SampleRequest) -> Messages:
    """The request's chat, its last message asking for what comes next."""
    state = request.state
    *before, (role, problem) = state.messages or (("user", state.question),)
    return [*before, (role, _asked(request, problem, state.text.strip() or _NO_STEPS))]


def _asked(request: SampleRequest, problem: str, written: str) -> str:
    """What asks for the rest of a text, or for its next line, which may be begun."""
    if _is_whole(request):
        content = _rest(problem, request.state.text, written)
        if not request.prefill:
            return content
        return _prompt("opening").fill(request=content, prefill=request.prefill)
    if request.prefill:
        return _prompt("next_line").fill(problem=problem, lines=written, prefill=request.prefill)
    return _prompt("next_step").fill(problem=problem, steps=written)


def _rest(problem: str, text: str, written: str) -> str:
    """What asks for the rest of a text; one that breaks off within a line is continued there."""
    if text.strip() and not text.endswith("\n"):
        return _prompt("continuation").fill(problem=problem, text=written)
    return _prompt("remaining_steps").fill(problem=problem, steps=written)


def _is_whole(request: SampleRequest) -> bool:
    """Whether all of a text is asked for, not a step."""
    return set(request.stop) <= {BLANK_LINES}


def _text(reply: Reply) -> str:
    return str(reply.text) if isinstance(reply, BaseMessage) else ""


def _was_cut(reply: Reply) -> bool:
    metadata = getattr(reply, "response_metadata", None) or {}
    return any(metadata.get(key) in _CUT for key in ("finish_reason", "stop_reason"))


def _trim(text: str, request: SampleRequest, *, cut: bool) -> tuple[str, Finish]:
    """The part of a reply that is the completion, and how it ended.

    Providers remove the stop string that ended a reply; it is put back, so that
    the texts of steps join to a trajectory.
    """
    text = text.lstrip()
    if request.prefill:
        text = _opened(request.prefill, text)
    if not text.strip():
        return "", "length" if cut else "eos"
    if not request.stop:
        return text, "length" if cut else "eos"
    after = len(request.prefill)
    ends = [at + len(mark) for mark in request.stop if (at := text.find(mark, after)) >= 0]
    if ends:
        return text[: min(ends)], "stop"
    if cut:
        return text, "length"
    if _is_whole(request):
        return text, "eos"
    return text.rstrip() + request.stop[0], "stop"


def _opened(prefill: str, reply: str) -> str:
    """A reply with its opening, whether it repeats that or goes on from there."""
    rest = reply.removeprefix(prefill)
    apart = "" if prefill[-1:].isspace() or rest[:1].isspace() else " "
    return prefill + apart + rest
