"""A local model as a LangChain LLM: it continues bare text, without a chat template."""

# ruff: noqa: ARG002  # LangChain's signatures, used or not

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult

from langchain_qstar.models.engine.streaming import Piece
from langchain_qstar.models.faces.answers import ending_of, logprobs_of
from langchain_qstar.models.faces.model import LocalModel
from langchain_qstar.models.faces.settings import (
    CallSettings,
    one_answer,
    without_stop,
)
from langchain_qstar.protocols import Completion, SampleRequest


class LocalLLM(LocalModel, BaseLLM):
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

    # A type checker would make one of the fields, without the name in front.
    def __init__(self, model: Any = "nano", **settings: Any) -> None:
        super().__init__(model, **settings)

    @property
    def _llm_type(self) -> str:
        return "qstar-local-llm"

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
        if settings.tells_logprobs:
            info["logprobs"] = logprobs_of(self._policy.codec, completion, text)
        return Generation(text=text, generation_info=info)

    def _chunk(self, settings: CallSettings, piece: Piece) -> GenerationChunk:
        completion, text, info = piece.completion, piece.text, {}
        if completion is not None:
            text = without_stop(text, completion, settings.stop or ())
            info = ending_of(completion, self._policy.name)
        if settings.tells_logprobs and piece.token_ids:
            shown = None if completion is None else text
            info["logprobs"] = logprobs_of(self._policy.codec, piece, shown)
        return GenerationChunk(text=text, generation_info=info or None)
