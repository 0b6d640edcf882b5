"""What a server can, found out by asking it: a handful of requests of one token.

OpenAI-compatible servers differ in what they know, what they refuse and what they
silently ignore. A search must know which, or it would mistake one sample for six,
or the start of a new answer for the continuation of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from langchain_qstar.models.remote.template import ChatTemplate
from langchain_qstar.models.remote.transport import RefusedError, Transport
from langchain_qstar.models.remote.wire import CHAT, TEXT, Reply, chat_messages

Messages = tuple[tuple[str, str], ...]
Way = Literal["text", "continue", "instruct"]
"""How a trajectory is continued: as raw text under a known template, as the
assistant's last message, or by asking for the next step in words."""

CONTINUE: Final = {"continue_final_message": True, "add_generation_prompt": False}
"""What vLLM and SGLang want to be told; llama.cpp's own server continues by itself."""

_ASKED: Final[Messages] = (("user", "Count: 1 2 3"),)
_OPENED: Final = "4"
_KEY: Final = "abilities"
_SAMPLES: Final = 2

_BY_INSTRUCTION: Final = (
    "prefill: the server does not continue a text that is begun; "
    "each step is asked for by instruction"
)
_NO_TEXT: Final = (
    "template: the server offers no raw completions; the chat endpoint is used instead"
)
_LACKS: Final = {
    "n": "n: not known to the server; one request a sample",
    "seed": "seed: refused by the server; the same search may end otherwise next time",
    "stop": "stop: refused by the server; more is generated than kept",
    "logprobs": "logprobs: not offered by the server; log-probabilities are unknown",
}


@dataclass(frozen=True)
class Abilities:
    """What is known of a server.

    Attributes:
        way: How it is made to continue a trajectory.
        options: Fields it takes and heeds, among `n`, `seed`, `stop`, `logprobs`,
            `top_k`, `min_p` and `repetition_penalty`.
        every: The value of `top_k` by which it keeps every token.
        template: How chats are rendered, when `way` is `text`.
        window: Context length in tokens, None when it does not say.
        shortfalls: What it lacks, by field.
    """

    way: Way
    options: frozenset[str]
    every: int = 0
    template: ChatTemplate | None = None
    window: int | None = None
    shortfalls: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The endpoint that is used."""
        return TEXT if self.way == "text" else CHAT


async def find_abilities(
    transport: Transport,
    name: str,
    template: ChatTemplate | None,
    *,
    logprobs: bool,
    window: int | None,
) -> Abilities:
    """Ask the first server that answers.

    Args:
        transport: How to reach it.
        name: Of the model.
        template: How to render chats for raw completions; without one the chat
            endpoint is used.
        logprobs: Whether log-probabilities are wanted.
        window: The model's context length, if known.

    Raises:
        ServerError: It cannot be reached, or refuses the plainest request.
    """
    asker = _Asker(transport, name, template)
    lacks: dict[str, str] = {}
    if template is not None and not await asker.completes():
        asker.template = None
        lacks["template"] = _NO_TEXT
    options, every = await asker.options(logprobs=logprobs)
    way: Way = "text"
    if asker.template is None:
        way = "continue" if await asker.continues() else "instruct"
    if way == "instruct":
        lacks["prefill"] = _BY_INSTRUCTION
    wanted = {"n", "seed", "stop"} | ({"logprobs"} if logprobs else set())
    lacks |= {each: _LACKS[each] for each in _LACKS if each in wanted - options}
    return Abilities(way, options, every, asker.template, window, lacks)


def plain_prompt(
    name: str, template: ChatTemplate | None, messages: Messages = _ASKED
) -> dict[str, Any]:
    """The fields of a request for anything at all: the model, and what it reads."""
    if template is None:
        return {"model": name, "messages": chat_messages(messages)}
    return {"model": name, "prompt": template.render(messages)}


class _Asker:
    """Asks one thing at a time."""

    def __init__(self, transport: Transport, name: str, template: ChatTemplate | None) -> None:
        self._transport = transport
        self._name = name
        self.template = template

    async def completes(self) -> bool:
        """Whether there is an endpoint for raw completions."""
        try:
            await self._ask({})
        except RefusedError as error:
            if error.status in {404, 405, 501}:
                return False
            raise
        return True

    async def options(self, *, logprobs: bool) -> tuple[frozenset[str], int]:
        """The fields that are heeded, and the `top_k` that keeps every token."""
        tried = self._candidates(logprobs=logprobs)
        together: dict[str, Any] = {}
        for forms in tried.values():
            together |= forms[0]
        reply = await self._taken(together)
        if reply is not None:
            return _heeded(frozenset(tried), reply), 0
        await self._ask({})  # when this is refused too, it is not about the options
        heeded: frozenset[str] = frozenset()
        every = 0
        for name, forms in tried.items():
            for form in forms:
                reply = await self._taken(form)
                if reply is not None:
                    heeded |= _heeded(frozenset({name}), reply)
                    every = form.get("top_k", every)
                    break
        return heeded, every

    def _candidates(self, *, logprobs: bool) -> dict[str, list[dict[str, Any]]]:
        """Each option in the forms that servers may take it in."""
        candidates: dict[str, list[dict[str, Any]]] = {
            "n": [{"n": _SAMPLES}],
            "seed": [{"seed": 1}],
            "stop": [{"stop": ["\n"]}],
            "top_k": [{"top_k": 0}, {"top_k": -1}],
            "min_p": [{"min_p": 0.0}],
            "repetition_penalty": [{"repetition_penalty": 1.0, "repeat_penalty": 1.0}],
        }
        if logprobs:
            candidates["logprobs"] = [{"logprobs": True if self.template is None else 1}]
        return candidates

    async def continues(self) -> bool:
        r"""Whether the chat endpoint continues an assistant's message as it stands.

        Told by the server's count of what it read. A continued `4` adds a token;
        one that is closed, with a new turn opened after it, adds several, and
        fewer when the server is told to continue than when it is not. The last
        line break of a message must count too, or the next step would begin
        with it.
        """
        plain = await self._prompt_tokens(None, CONTINUE)
        opened = await self._prompt_tokens(_OPENED, CONTINUE)
        lined = await self._prompt_tokens(f"{_OPENED}\n", CONTINUE)
        if plain is None or opened is None or lined is None or lined <= opened:
            return False
        closed = await self._prompt_tokens(_OPENED, {})
        return opened - plain <= 1 or (closed is not None and opened < closed)

    async def _prompt_tokens(self, opened: str | None, flags: Mapping[str, Any]) -> int | None:
        if opened is None:
            reply = await self._taken({})
        else:
            reply = await self._taken(flags, (*_ASKED, ("assistant", opened)))
        return None if reply is None else reply.prompt_tokens

    async def _taken(self, fields: Mapping[str, Any], messages: Messages = _ASKED) -> Reply | None:
        """The reply, or None when the server refuses the fields."""
        try:
            return await self._ask(fields, messages)
        except RefusedError as error:
            if error.status in {401, 403, 404}:
                raise
            return None

    async def _ask(self, fields: Mapping[str, Any], messages: Messages = _ASKED) -> Reply:
        path = CHAT if self.template is None else TEXT
        body = {**plain_prompt(self._name, self.template, messages), "max_tokens": 1}
        return await self._transport.post(path, {**body, "temperature": 1.0, **fields}, _KEY)


def _heeded(options: frozenset[str], reply: Reply) -> frozenset[str]:
    """Those of `options` that the reply does not belie."""
    ignored = set()
    if len(reply.choices) < _SAMPLES:
        ignored.add("n")
    if all(choice.tokens is None for choice in reply.choices):
        ignored.add("logprobs")
    return options - ignored
