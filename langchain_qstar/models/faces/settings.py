"""What can be set about a LangChain model of ours, at its making and again with every call."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langchain_qstar.errors import ModelSpecError, SettingsError
from langchain_qstar.models.engine.policy import LocalPolicy
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.protocols import Completion, SampleRequest, State
from langchain_qstar.seeds import sample_seed

NOTHING_TO_DO: Final = ("api_key", "max_retries")
"""Arguments that LangChain passes to any model and that mean nothing to one in this process."""

Made = TypeVar("Made")
Count = Annotated[int, Field(ge=1, strict=True)]
StopString = Annotated[str, Field(min_length=1)]


class CallSettings(BaseModel):
    """What holds for one call."""

    model_config = ConfigDict(allow_inf_nan=False)

    temperature: float = Field(0.7, ge=0)
    """0 takes the most probable token."""
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    """Sample from the k most probable tokens; 0 is all of them."""
    min_p: float = Field(0.0, ge=0, le=1)
    """Least probability of a token, relative to the most probable one."""
    repetition_penalty: float = Field(1.0, gt=0)
    max_tokens: Count = 512
    """Most tokens of an answer; the window may leave room for fewer."""
    stop: list[StopString] | None = None
    """Strings that end an answer; they are not part of it."""
    seed: int | None = None
    """The same seed gives the same answer to the same prompt; None draws one."""
    n: Count = 1
    """Answers to one prompt; `generate` returns all of them."""
    grammar: str | None = None
    """What an answer must follow; see `SampleRequest.grammar`."""
    logprobs: bool = False
    """Report the log-probability of every token."""
    top_logprobs: int = Field(0, ge=0, le=20)
    """How many of the most probable tokens to report at every place; turns `logprobs` on."""
    timeout: float | None = Field(None, gt=0)
    """Most seconds of one call, waiting for others included."""

    @property
    def tells_logprobs(self) -> bool:
        """Whether log-probabilities are to be reported."""
        return self.logprobs or self.top_logprobs > 0

    def request(self, state: State) -> SampleRequest:
        """What the engine is asked."""
        seed = secrets.randbits(63) if self.seed is None else self.seed
        return SampleRequest(
            state,
            tuple(sample_seed(seed, "", number) for number in range(self.n)),
            stop=tuple(self.stop or ()),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            grammar=self.grammar,
            top_logprobs=self.top_logprobs,
        )

    def for_call(
        self, stop: Sequence[str] | None, given: Mapping[str, Any], *, known: Sequence[str] = ()
    ) -> CallSettings:
        """These settings with what a call gives, checked again.

        Args:
            stop: Stop strings instead of those set, None for these.
            given: Other arguments of the call.
            known: Arguments that a call may have besides settings.

        Raises:
            SettingsError: An argument is unknown, or a value out of its range.
        """
        fields = CallSettings.model_fields
        unknown = [name for name in given if name not in {*fields, *known, "stream"}]
        if unknown:
            names = ", ".join([*fields, *known])
            raise SettingsError(f"unknown argument '{unknown[0]}'; known: {names}")
        values = {name: getattr(self, name) for name in fields}
        values |= {name: value for name, value in given.items() if name in fields}
        if stop is not None:
            values["stop"] = list(stop)
        return checked(lambda: CallSettings(**values))


def checked(make: Callable[[], Made]) -> Made:
    """What `make` makes.

    Raises:
        SettingsError: A value is out of its range.
    """
    try:
        return make()
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise SettingsError(f"{name}={problem['input']!r:.60}: {problem['msg']}") from None


def known_only(given: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor, without those that mean nothing.

    Raises:
        SettingsError: One is unknown.
    """
    for name in given:
        if name not in fields and name not in NOTHING_TO_DO:
            known = ", ".join(CallSettings.model_fields)
            raise SettingsError(f"unknown argument '{name}'; known: model, streaming, {known}")
    return {name: value for name, value in given.items() if name not in NOTHING_TO_DO}


def local_policy(spec: Any) -> LocalPolicy:
    """The local model that `spec` means; see `resolve_policy`.

    Raises:
        ModelSpecError: It is none, or nothing loads from it.
    """
    policy = resolve_policy(spec)
    if not isinstance(policy, LocalPolicy):
        raise ModelSpecError(
            f"model={spec!r:.60} does not run in this process; "
            "give a name, folder or (model, tokenizer) pair, or use the chat model itself"
        )
    return policy


def chatting(policy: LocalPolicy) -> LocalPolicy:
    """`policy`, which is to answer chats.

    Raises:
        ModelSpecError: It has no chat template, and nobody said to do without.
    """
    if policy.codec.lacks_template:
        raise ModelSpecError(
            f"{policy.name} has no chat template, so it cannot be a chat model; use LocalLLM, or "
            "load it with chat_template="
        )
    return policy


def one_answer(request: SampleRequest) -> SampleRequest:
    """`request`, which is to be streamed.

    Raises:
        SettingsError: It asks for more than one answer.
    """
    if len(request.seeds) != 1:
        raise SettingsError(f"n={len(request.seeds)}: one answer can be streamed; use generate")
    return request


def without_stop(text: str, completion: Completion, stop: Sequence[str]) -> str:
    """`text`, which ends as the completion does, without the stop string that ended it."""
    if completion.finish != "stop":
        return text
    marks = [mark for mark in stop if completion.text.endswith(mark)]
    return text[: len(text) - max(map(len, marks), default=0)]
