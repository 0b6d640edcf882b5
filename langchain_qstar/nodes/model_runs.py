"""A batch of a model as a run of its own in traces, with the model's name and its tokens.

One run a batch, not one a sample, below the run of the node that asked: so LangSmith, and
whatever else reads `usage_metadata`, knows what each phase of a search cost and by which
model. What is recorded is the end of each prompt, not all of it. Where nobody traces it
costs nothing. Models that are LangChain models make runs of their own (`traced`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.callbacks.base import BaseCallbackManager
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.constants import TAG_NOSTREAM

from langchain_qstar.protocols import (
    Completion,
    Policy,
    SampleRequest,
    ScoreRequest,
    Scores,
    State,
    StepScorer,
)

PROMPT_SHOWN: Final = 300
"""Last characters of a prompt that a trace shows."""

COUNTED_ABOVE: Final = "qstar_usage_counted_above"
"""In the metadata of a run: it reports the tokens of what is below it."""

T = TypeVar("T")


class Batch(Protocol):
    """What a model is asked together."""

    @property
    def model(self) -> Policy | StepScorer:
        """Who is asked."""
        ...

    def asked(self) -> list[BaseMessage]:
        """What a trace shows of the requests."""
        ...

    def answered(self, answers: Any) -> tuple[list[str], UsageMetadata]:
        """What a trace shows of the answers, and what they cost."""
        ...


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """Requests for samples."""

    model: Policy
    requests: Sequence[SampleRequest]

    def asked(self) -> list[BaseMessage]:
        """The end of each prompt."""
        return [_shown(each.state, f"{len(each.seeds)} x") for each in self.requests]

    def answered(self, answers: Sequence[Sequence[Completion]]) -> tuple[list[str], UsageMetadata]:
        """The texts, and all their tokens."""
        flat = [completion for group in answers for completion in group]
        read, made = sum(each.prompt_tokens for each in flat), sum(each.generated for each in flat)
        usage = UsageMetadata(
            input_tokens=read,
            output_tokens=made,
            total_tokens=read + made,
            input_token_details={"cache_read": sum(each.reused_tokens for each in flat)},
            output_token_details={"reasoning": sum(each.thought_tokens for each in flat)},
        )
        return [each.text for each in flat], usage


@dataclass(frozen=True, slots=True)
class ScoreBatch:
    """Steps to be scored."""

    model: StepScorer
    requests: Sequence[ScoreRequest]

    def asked(self) -> list[BaseMessage]:
        """The end of each prompt."""
        return [_shown(each.state, f"{len(each.steps)} steps after") for each in self.requests]

    def answered(self, answers: Sequence[Scores]) -> tuple[list[str], UsageMetadata]:
        """The values of each state's steps, and what they cost."""
        read = sum(each.read_tokens for each in answers)
        made = sum(each.generated_tokens for each in answers)
        texts = [" ".join(f"{value:.4g}" for value in each.values) for each in answers]
        usage = UsageMetadata(input_tokens=read, output_tokens=made, total_tokens=read + made)
        return texts, usage


def traced(batch: Batch, ask: Callable[[], T]) -> T:
    """What `ask` returns, with a run around it where somebody traces."""
    callbacks = _callbacks(batch)
    if callbacks is None:
        return ask()
    manager = CallbackManager.configure(inheritable_callbacks=callbacks)
    run: CallbackManagerForLLMRun = _named(manager, batch).on_chat_model_start(
        {}, [batch.asked()], **_described(batch)
    )[0]
    try:
        answers = ask()
    except BaseException as error:
        run.on_llm_error(error)
        raise
    run.on_llm_end(_result(batch, answers, run.metadata))
    return answers


async def atraced(batch: Batch, ask: Callable[[], Awaitable[T]]) -> T:
    """As `traced`, without blocking the event loop."""
    callbacks = _callbacks(batch)
    if callbacks is None:
        return await ask()
    manager = AsyncCallbackManager.configure(inheritable_callbacks=callbacks)
    run: AsyncCallbackManagerForLLMRun = (
        await _named(manager, batch).on_chat_model_start({}, [batch.asked()], **_described(batch))
    )[0]
    try:
        answers = await ask()
    except BaseException as error:
        await run.on_llm_error(error)
        raise
    await run.on_llm_end(_result(batch, answers, run.metadata))
    return answers


def _callbacks(batch: Batch) -> BaseCallbackManager | None:
    """Those of the node that asks, if there are any to tell and the model does not."""
    callbacks = (var_child_runnable_config.get() or {}).get("callbacks")
    if not isinstance(callbacks, BaseCallbackManager) or not callbacks.handlers:
        return None
    return None if getattr(batch.model, "traced", False) else callbacks


M = TypeVar("M", CallbackManager, AsyncCallbackManager)


def _named(manager: M, batch: Batch) -> M:
    """`manager`, whose next run tells the model, and is no message of the graph around it."""
    manager.add_tags([TAG_NOSTREAM], inherit=False)
    manager.add_metadata(
        {
            "ls_provider": "qstar",
            "ls_model_name": batch.model.name,
            "ls_model_type": "chat",
        },
        inherit=False,
    )
    return manager


def _described(batch: Batch) -> dict[str, Any]:
    return {"name": batch.model.name, "invocation_params": {"model": batch.model.name}}


def _shown(state: State, what: str) -> BaseMessage:
    text = (state.question + "\n" + state.text)[-PROMPT_SHOWN:]
    return HumanMessage(f"{what}\n{text}")


def _result(batch: Batch, answers: Any, metadata: dict[str, Any]) -> LLMResult:
    """All texts as one result; the first carries the tokens of all."""
    try:
        texts, usage = batch.answered(answers)
    except (TypeError, AttributeError):  # no answers of a model; the node says so
        texts, usage = [repr(answers)[:PROMPT_SHOWN]], None
    made = {"model_name": batch.model.name}
    messages = [AIMessage(each, response_metadata=made) for each in texts or [""]]
    if COUNTED_ABOVE not in metadata:
        messages[0].usage_metadata = usage
    return LLMResult(generations=[[ChatGeneration(message=each) for each in messages]])
