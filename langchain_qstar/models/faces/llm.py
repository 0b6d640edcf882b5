"""A local model as a LangChain LLM: it continues bare text, without a chat template."""

# ruff: noqa: ARG002  # LangChain's signatures, used or not

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM
from langchain_core.language_models.base import LangSmithParams
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from pydantic import PrivateAttr

from langchain_qstar.models.engine.policy import LocalPolicy
from langchain_qstar.models.engine.streaming import Piece
from langchain_qstar.models.faces.answers import ending_of, logprobs_of
from langchain_qstar.models.faces.settings import (
    CallSettings,
    checked,
    known_only,
    local_policy,
    one_answer,
    without_stop,
)
from langchain_qstar.protocols import Completion, SampleRequest


class LocalLLM(CallSettings, BaseLLM):
    """A model in this process as a LangChain LLM.

    All prompts of a `generate` or `batch` go to the engine as one submission.

    >>> from langchain_qstar import LocalLLM
    >>> llm = LocalLLM("nano", temperature=0)
    >>> llm.invoke("Tom has 4*6=", grammar="start: /[0-9]+/", max_tokens=2).isdigit()
    True

    Args:
        model: As for `ChatLocal`.
        settings: See `CallSettings`; any of them may also be given with a call, or bound.

    Raises:
        ModelSpecError: `model` is no local model.
        SettingsError: A setting is unknown or out of its range.
    """

    model: Any = "nano"
    """What runs; see `resolve_policy`."""
    _policy: LocalPolicy = PrivateAttr()

    def __init__(self, model: Any = "nano", **settings: Any) -> None:
        policy = local_policy(model)
        given = known_only(settings, type(self).model_fields)
        checked(lambda: super(LocalLLM, self).__init__(model=model, **given))
        self._policy = policy

    @property
    def _llm_type(self) -> str:
        return "qstar-local-llm"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in CallSettings.model_fields}
        return {"model": self._policy.name, **settings}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self.stop, **kwargs)
        params["ls_provider"] = "langchain-qstar"
        params.setdefault("ls_model_name", self._policy.name)
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Ids of `text` by the model's own tokenizer."""
        return list(self._policy.codec.encode(text))

    def _asked(
        self, prompts: Sequence[str], stop: list[str] | None, arguments: Mapping[str, Any]
    ) -> tuple[CallSettings, list[SampleRequest]]:
        settings = self.for_call(stop, arguments)
        states = [self._policy.text_state(prompt) for prompt in prompts]
        return settings, [settings.request(state) for state in states]

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        settings, requests = self._asked(prompts, stop, kwargs)
        return self._result(settings, self._policy.sample(requests, timeout=settings.timeout))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        settings, requests = self._asked(prompts, stop, kwargs)
        groups = await self._policy.asample(requests, timeout=settings.timeout)
        return self._result(settings, groups)

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        settings, (request,) = self._asked([prompt], stop, kwargs)
        for piece in self._policy.stream(one_answer(request), timeout=settings.timeout):
            chunk = self._chunk(settings, piece)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        settings, (request,) = self._asked([prompt], stop, kwargs)
        pieces = self._policy.astream(one_answer(request), timeout=settings.timeout)
        async with aclosing(pieces):
            async for piece in pieces:
                chunk = self._chunk(settings, piece)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _result(self, settings: CallSettings, groups: Sequence[Sequence[Completion]]) -> LLMResult:
        drawn = sum(each.generated for group in groups for each in group)
        read = sum(group[0].prompt_tokens for group in groups)
        usage = {
            "prompt_tokens": read,
            "completion_tokens": drawn,
            "total_tokens": read + drawn,
        }
        return LLMResult(
            generations=[[self._generation(settings, each) for each in group] for group in groups],
            llm_output={"model_name": self._policy.name, "token_usage": usage},
        )

    def _generation(self, settings: CallSettings, completion: Completion) -> Generation:
        text = without_stop(completion.text, completion, settings.stop or ())
        info = ending_of(completion, self._policy.name)
        if settings.logprobs:
            ids = completion.token_ids or ()
            info["logprobs"] = logprobs_of(self._policy.codec, ids, completion.logprobs, text)
        return Generation(text=text, generation_info=info)

    def _chunk(self, settings: CallSettings, piece: Piece) -> GenerationChunk:
        completion, text, info = piece.completion, piece.text, {}
        if completion is not None:
            text = without_stop(text, completion, settings.stop or ())
            info = ending_of(completion, self._policy.name)
        if settings.logprobs and piece.token_ids:
            shown = None if completion is None else text
            info["logprobs"] = logprobs_of(
                self._policy.codec, piece.token_ids, piece.logprobs, shown
            )
        return GenerationChunk(text=text, generation_info=info or None)
