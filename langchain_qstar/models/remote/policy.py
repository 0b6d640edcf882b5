"""A model behind OpenAI-compatible servers as a policy.

Prompts and steps go over the wire as text, so the server tokenises a trajectory
anew at every step and its own prefix cache does the rest. There are no token
ids; seeds are sent, and whether the same seed gives the same text again is up to
the server.

A sample that fails, after the attempts of `Patience`, is an empty completion
with finish `error`: the search goes on without it. Only when all of a batch fail
is `ModelError` raised. A trajectory that has filled the window ends with finish
`length`; a question that fills it by itself raises `QuestionError`.

A grammar is enforced where the server can (`grammars.py`). Where it cannot, it is left
out, and `shortfalls` says so; a request that requires it raises `GrammarError` instead.
"""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from langchain_qstar.errors import (
    GrammarError,
    ModelError,
    QuestionError,
    SettingsError,
)
from langchain_qstar.models.grammar_text import notation_of
from langchain_qstar.models.instruction import estimated_tokens
from langchain_qstar.models.remaking import Remade, key_of_environment
from langchain_qstar.models.remote.abilities import Abilities, find_abilities, plain_prompt
from langchain_qstar.models.remote.addresses import base_of, remedy, to_servers, window_of
from langchain_qstar.models.remote.asking import (
    body_of,
    completions_of,
    ignores_stop,
    is_begun,
    left_of,
    rest_of,
    shares,
    unheeded,
    with_rest,
)
from langchain_qstar.models.remote.grammars import ServerGrammars
from langchain_qstar.models.remote.loop_thread import LoopThread
from langchain_qstar.models.remote.template import ChatTemplate
from langchain_qstar.models.remote.transport import (
    Patience,
    RefusedError,
    ServerError,
    Transport,
)
from langchain_qstar.models.remote.wire import Reply
from langchain_qstar.protocols import Completion, SampleRequest
from langchain_qstar.spending.in_time import unless_late
from langchain_qstar.stepping.thinking import apart, is_cut
from langchain_qstar.stopping import wait

_FEWER: Final = "n: the server returned fewer samples than asked; the others were asked for singly"
_STOP_IGNORED: Final = "stop: ignored by the server; more is generated than kept"
_CUT_AT_END: Final = (
    "steps: the server is not stopped at their end; replies are cut, and more is generated "
    "than kept"
)
_THINKS: Final = (
    "thoughts: told in the replies; the server is asked without stop strings, thoughts are kept "
    "apart, and they count as generated"
)
_LIMIT_IGNORED: Final = (
    "max_tokens: ignored by the server; a budget of tokens is passed by what it writes at once"
)
_ROUNDS: Final = 4
"""How often a step that blank lines interrupt is gone on with."""

_SPACED: Final = (
    "roles: a text spelled a control token, which a server reads in a raw prompt; it was sent with "
    "a space in it"
)
_NO_USAGE: Final = "usage: not told by the server; tokens are estimated"
_TOO_LONG: Final = re.compile(r"context[ _](?:length|window|size)|too long|exceed", re.IGNORECASE)
_REFUSALS: Final = frozenset({400, 413, 422})
"""Statuses of a request that is understood and cannot be met."""

_FAILED: Final = Completion(text="", finish="error")
_GIVEN_UP: Final = Completion(text="", finish="cancelled")


class RemotePolicy(Remade):
    """A model behind one or several equal servers as a `Policy`.

    Make one by `connect`. It talks on a thread of its own, which ends with
    `close`, or with the object.
    """

    def __init__(self, name: str, transport: Transport, loop: LoopThread) -> None:
        """Used by `connect`."""
        self._model = name
        self._transport = transport
        self._loop = loop
        self._abilities = Abilities("instruct", frozenset())
        self._grammars = self._grammars_there()
        self._shortfalls: dict[str, str] = {}
        self._failures = 0
        self._thinks = False
        self._close = weakref.finalize(self, loop.close)

    @classmethod
    def connect(
        cls,
        name: str,
        urls: str | Sequence[str],
        *,
        api_key: str | None = None,
        chat_template: str | Path | None = None,
        logprobs: bool = True,
        window: int | None = None,
        timeout: float = 600.0,
        retries: int = 4,
        backoff: float = 0.5,
        max_concurrency: int = 64,
    ) -> RemotePolicy:
        """Ask the servers what they are and can.

        Args:
            name: Of the model, as the servers list it.
            urls: Where they are, such as `http://127.0.0.1:8000/v1`; several of
                them serve the same model. A question goes to the same server
                every time, and to another one while that does not answer.
            api_key: Sent as bearer token; white space around it is dropped, and it is shown in
                no message. A URL may hold `USER:PASSWORD@` instead.
            chat_template: Jinja text, a file of it, a model's folder, or
                `"plain"`: then prompts are rendered here and sent as raw text,
                which every server can continue. Without it the chat endpoint is
                used, and steps are asked for by instruction where it does not
                continue an answer that is begun. For the bundled model its own
                is used.
            logprobs: Whether to ask for log-probabilities.
            window: Context length in tokens; default what the server says.
            timeout: Seconds to wait for one reply.
            retries: Attempts after the first, and one more for every further server.
            backoff: Seconds before the second attempt, doubled for each after it.
            max_concurrency: Most requests at a time to each server; more wait here.

        Raises:
            SettingsError: A value is out of range, the key is none, or the environment names a
                proxy or certificates that cannot be used.
            ModelSpecError: The URL or template is none, or the model another one.
            ModelError: No server answers, or it refuses the plainest request.
            MissingExtraError: The extra `remote` is not installed.
        """
        _check(timeout, retries, backoff, max_concurrency)
        bases = [base_of(url) for url in ([urls] if isinstance(urls, str) else urls)]
        template = _template(name, chat_template)
        patience = Patience(timeout, retries, backoff, max_concurrency)
        transport = to_servers(bases, patience, api_key)
        loop = LoopThread(f"remote {name}", transport.close)
        policy = cls(name, transport, loop)
        try:
            wait(loop.submit(policy._ask(template, logprobs=logprobs, window=window)))
        except BaseException:
            policy.close()
            raise
        options: dict[str, Any] = {
            "chat_template": chat_template,
            "logprobs": logprobs,
            "window": window,
        }
        options |= {"timeout": timeout, "retries": retries, "backoff": backoff}
        options |= {"max_concurrency": max_concurrency}
        if not transport.has_accounts:  # a password stays here, and so does the key
            policy.remember(_connected, name, urls, bool(api_key), options)
        return policy

    @property
    def name(self) -> str:
        """`openai:` and the name of the model."""
        return f"openai:{self._model}"

    @property
    def window(self) -> int | None:
        """Context length in tokens, or None when the server does not say."""
        return self._abilities.window

    @property
    def abilities(self) -> Abilities:
        """What was found out about the server."""
        return self._abilities

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """What the servers could not do as asked so far, a line each."""
        return tuple(self._shortfalls.values())

    @property
    def gives_logprobs(self) -> bool | None:
        """False where the server offers none; None where it does, for replies may lack them."""
        return None if "logprobs" in self._abilities.options else False

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._close.alive

    def close(self) -> None:
        """Close the connections; waiting calls are cancelled."""
        self._close()

    @property
    def keeps_time(self) -> bool:
        """See `KeepsTime`: a request that takes too long is cancelled, and others are kept."""
        return True

    @property
    def chats(self) -> bool:
        """Whether it is asked at the chat endpoint, or by a chat template."""
        template = self._abilities.template
        return template is None or template.chats

    def count_tokens(self, text: str) -> int:
        """An estimate: a token per four characters, as English has on average."""
        return estimated_tokens(text)

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """Sample all requests at the same time; see `Policy.sample`.

        Raises:
            QuestionError: A question does not fit the window.
            GrammarError: A grammar that is required cannot be enforced, or is none.
            ModelError: Every sample failed, or the policy was closed.
        """
        try:
            groups: list[list[Completion]] = wait(self._submit(requests))
        except CancelledError:
            if self.closed:
                raise self._was_closed() from None
            raise
        return groups

    async def asample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """As `sample`; cancelling the task closes the connections of its requests."""
        try:
            return await asyncio.wrap_future(self._submit(requests))
        except asyncio.CancelledError:
            if self.closed:
                raise self._was_closed() from None
            raise

    def _was_closed(self) -> ModelError:
        return ModelError(f"{self.name} was closed; connect it again")

    def _submit(self, requests: Sequence[SampleRequest]) -> Future[list[list[Completion]]]:
        if self.closed:
            raise self._was_closed()
        return self._loop.submit(self._sample(requests))

    async def _ask(
        self, template: ChatTemplate | None, *, logprobs: bool, window: int | None
    ) -> None:
        try:
            listed = await self._listed()
            self._abilities = await find_abilities(
                self._transport,
                self._model,
                template,
                logprobs=logprobs,
                window=window or listed,
            )
        except ServerError as error:
            raise ModelError(remedy(error)) from error
        self._grammars = self._grammars_there()
        self._shortfalls |= self._abilities.shortfalls

    def _grammars_there(self) -> ServerGrammars:
        prompt = plain_prompt(self._model, self._abilities.template)
        return ServerGrammars(self._transport, self._abilities.path, prompt)

    async def _listed(self) -> int | None:
        """The window in the servers' lists of models, which must hold ours.

        A server that lists nothing is believed.
        """
        urls = self._transport.replicas.urls
        lists = await asyncio.gather(
            *(self._transport.get(url, "/models") for url in urls), return_exceptions=True
        )
        windows = []
        for url, data in zip(urls, lists, strict=True):
            if isinstance(data, ServerError):
                continue
            if isinstance(data, BaseException):
                raise data
            windows.append(window_of(url, self._model, data))
        known = [window for window in windows if window]
        return min(known, default=None)

    async def _sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        reasons: list[ServerError] = []
        groups = await asyncio.gather(*(self._group(each, reasons) for each in requests))
        flat = [completion for group in groups for completion in group]
        if reasons and all(completion.finish == "error" for completion in flat):
            raise ModelError(remedy(reasons[0])) from reasons[0]
        if reasons:
            self._failures += sum(completion.finish == "error" for completion in flat)
            self._shortfalls["error"] = f"error: {self._failures} samples failed: {reasons[0]}"
        return groups

    async def _group(self, request: SampleRequest, reasons: list[ServerError]) -> list[Completion]:
        """The completions of one request, in the order of its seeds, each to its end."""
        drawn = await self._drawn(request, reasons)
        return list(
            await asyncio.gather(
                *(
                    self._ended(request, seed, completion, reasons)
                    for seed, completion in zip(request.seeds, drawn, strict=True)
                )
            )
        )

    async def _ended(
        self,
        request: SampleRequest,
        seed: int,
        completion: Completion,
        reasons: list[ServerError],
    ) -> Completion:
        """A completion gone on with until its step has ended, or for `_ROUNDS`."""
        for _ in range(_ROUNDS):
            left = left_of(request, completion)
            if left < 1 or not is_begun(request, completion, self._abilities):
                break
            (more,) = await self._drawn(rest_of(request, seed, completion.text, left), reasons)
            paid = completion.generated + more.generated
            if more.finish == "cancelled":
                return replace(completion, generated=paid, finish="cancelled")
            if more.finish == "error":
                return replace(more, generated=paid)
            completion = with_rest(request, completion, more)
        return completion

    async def _drawn(self, request: SampleRequest, reasons: list[ServerError]) -> list[Completion]:
        """What one request gets, in the order of its seeds."""
        self._shortfalls |= unheeded(request, self._abilities)
        try:
            form = await self._form(request)
        except ServerError as error:
            reasons.append(error)
            return [_FAILED] * len(request.seeds)
        # Greedy samples are all the same, and some servers refuse to draw several.
        together = "n" in self._abilities.options and request.temperature > 0
        if together and len(request.seeds) > 1:
            found = await self._ask_for(request, request.seeds, form, reasons)
            return found + await self._singly(request, request.seeds[len(found) :], form, reasons)
        return await self._singly(request, request.seeds, form, reasons)

    async def _form(self, request: SampleRequest) -> Mapping[str, Any]:
        """What makes the server follow the request's grammar; nothing where it cannot.

        Raises:
            GrammarError: It cannot, and the request requires it; or it is no grammar.
            ServerError: No server answers.
        """
        if request.grammar is None:
            return {}
        form = await self._grammars.fields(request.grammar)
        return self._without_grammar(request) if form is None else form

    def _without_grammar(self, request: SampleRequest, reason: str = "") -> Mapping[str, Any]:
        """Do without a grammar, if that may be.

        Raises:
            GrammarError: The request requires it.
        """
        assert request.grammar is not None
        notation = notation_of(request.grammar)
        fault = f"the server refuses one: {reason}" if reason else "the server does not enforce it"
        if request.grammar_required:
            raise GrammarError(
                f"{self.name} cannot be held to a grammar ({notation}), {fault}; "
                "use a local model, or a server that enforces grammars"
            )
        self._shortfalls[f"grammar {notation}"] = f"grammar: {notation}, {fault}; left out"
        return {}

    async def _singly(
        self,
        request: SampleRequest,
        seeds: Sequence[int],
        form: Mapping[str, Any],
        reasons: list[ServerError],
    ) -> list[Completion]:
        groups = await asyncio.gather(*(self._ask_for(request, (s,), form, reasons) for s in seeds))
        return [group[0] for group in groups]

    async def _ask_for(
        self,
        request: SampleRequest,
        seeds: Sequence[int],
        form: Mapping[str, Any],
        reasons: list[ServerError],
    ) -> list[Completion]:
        """One request: up to `len(seeds)` completions, at least one."""
        abilities = self._abilities
        thinks = self._thinks  # others that are under way may find it out meanwhile
        body = body_of(request, seeds, self._model, abilities, thinks=thinks) | dict(form)
        if abilities.template is not None and abilities.template.spaced:
            self._shortfalls["roles"] = _SPACED
        try:
            reply = await unless_late(
                lambda: self._transport.post(abilities.path, body, request.state.question)
            )
        except ServerError as error:
            if isinstance(error, RefusedError) and error.status in _REFUSALS:
                if _TOO_LONG.search(error.message):
                    return [_full(request, error)] * len(seeds)
                if form:
                    nothing = self._without_grammar(request, error.message)
                    return await self._ask_for(request, seeds, nothing, reasons)
            reasons.append(error)
            return [_FAILED] * len(seeds)
        if reply is None:
            return [_GIVEN_UP] * len(seeds)
        if any(apart(each.text)[0] for each in reply.choices):
            self._shortfalls["thoughts"] = _THINKS
        if not thinks and any(is_cut(each.text) for each in reply.choices):
            self._thinks = True
            return await self._ask_again(request, seeds, form, reasons, reply)
        self._note(request, reply, asked=len(seeds), most=body["max_tokens"], thinks=thinks)
        return completions_of(request, reply, abilities, enforced=bool(form), thinks=thinks)[
            : len(seeds)
        ]

    async def _ask_again(
        self,
        request: SampleRequest,
        seeds: Sequence[int],
        form: Mapping[str, Any],
        reasons: list[ServerError],
        reply: Reply,
    ) -> list[Completion]:
        """The same with room for the thoughts of which `reply` was cut; that is paid for too."""
        spent = [*shares(reply), *([0] * len(seeds))]
        left = None if request.budget is None else request.budget - max(spent)
        if left is not None and left < 1:
            cut = completions_of(request, reply, self._abilities, thinks=True)
            return [replace(each, finish="length") for each in cut[: len(seeds)]]
        found = await self._ask_for(replace(request, budget=left), seeds, form, reasons)
        return [
            replace(
                each,
                generated=each.generated + before,
                thought_tokens=each.thought_tokens + before,
            )
            for each, before in zip(found, spent, strict=False)
        ]

    def _note(
        self, request: SampleRequest, reply: Reply, *, asked: int, most: int, thinks: bool
    ) -> None:
        if len(reply.choices) < asked:
            self._shortfalls["n"] = _FEWER
            self._abilities = replace(self._abilities, options=self._abilities.options - {"n"})
        if (reply.completion_tokens or 0) > most * len(reply.choices):
            self._shortfalls["max_tokens"] = _LIMIT_IGNORED
        if not thinks and ignores_stop(request, reply):
            key, line = ("stop", _STOP_IGNORED) if request.ends is None else ("ends", _CUT_AT_END)
            self._shortfalls.setdefault(key, line)
        if reply.model is not None and not _is_one(reply.model, self._model):
            shown = repr(reply.model[:80])
            self._shortfalls["model"] = f"model: the server answers with {shown} instead"
        if reply.completion_tokens is None or reply.prompt_tokens is None:
            self._shortfalls["usage"] = _NO_USAGE


def _connected(
    name: str,
    urls: str | Sequence[str],
    had_key: bool,  # noqa: FBT001
    options: dict[str, Any],
) -> RemotePolicy:
    """A policy like one that was pickled, with the key that is in this process's environment."""
    key = key_of_environment() if had_key else None
    return RemotePolicy.connect(name, urls, api_key=key, **options)


def _check(timeout: float, retries: int, backoff: float, max_concurrency: int) -> None:
    if not timeout > 0:
        raise SettingsError(f"timeout is {timeout}; allow more than 0 seconds")
    if retries < 0 or backoff < 0:
        raise SettingsError("retries and backoff must not be negative")
    if max_concurrency < 1:
        raise SettingsError(f"max_concurrency is {max_concurrency}; allow at least 1 request")


def _template(name: str, given: str | Path | None) -> ChatTemplate | None:
    if given is None and name == "nano":
        given = Path(__file__).parents[2] / "nano"
    return None if given is None else ChatTemplate(given)


def _is_one(told: str, asked: str) -> bool:
    """Whether two names are of one model; a server may tell its version or its path as well."""
    told, asked = told.casefold(), asked.casefold()
    return told.startswith(asked) or told.endswith(asked) or asked.endswith(told)


def _full(request: SampleRequest, error: RefusedError) -> Completion:
    """What a trajectory that fills the window gets."""
    if not request.state.steps:
        raise QuestionError(f"the question does not fit the server's window: {error.message}")
    return Completion(text="", finish="length")
