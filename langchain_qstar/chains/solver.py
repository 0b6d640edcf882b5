"""What all methods share: inputs, outputs, concurrency, and being one run in a trace."""

# ruff: noqa: A002, ARG002  # `input` and `config` are LangChain's names, used or not

from __future__ import annotations

import pickle
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list
from pydantic import BaseModel

from langchain_qstar.chains.asking import Ask, QuestionInput, checked_seed, joined, read
from langchain_qstar.checks.running import StepChecks, resolve_checks
from langchain_qstar.errors import QStarError, SettingsError
from langchain_qstar.protocols import FallsShort, Policy, StepCheck, Task
from langchain_qstar.solution import Solution
from langchain_qstar.stepping.profiles import StepForm, with_steps
from langchain_qstar.verification.verdict import Abstain, checked_abstain

Output = Literal["solution", "message", "text"]
CONCURRENCY: Final = 16
"""Questions of a `batch` that are worked on together, at least, to share the policy's batches."""

MOST_TOGETHER: Final = 128
"""As many threads as a `batch` starts at most, unless `max_concurrency` says otherwise."""


UNVERIFIABLE: Final = (
    "abstain: nothing here can verify an answer ({why}); "
    "give a test as checks=, or abstain='failed'"
)


class SolverChain(Runnable[Any, Any]):
    """What all methods share: inputs, outputs, concurrency, and being one run.

    Args:
        policy: A name, folder, `(model, tokenizer)` pair, LangChain chat model
            or `Policy`; see `models.resolve_policy`.
        task: A name or a `Task`; by default `nano` for the bundled model and
            `gsm8k` for any other.
        prompts: How the task asks: `"auto"` goes by the model, by an instruction
            (`zero-shot`) if it answers chats and else by a text of worked examples to go on
            with (`completion`). Or one of these, `few-shot`, or a folder of your own; see
            `tasks.fit_task`. `Solution.prompts` says which it was.
        shots: How many worked examples are shown; None is as many as is usual.
        checks: What judges the steps: names (`arithmetic`, `symbolic`) and functions
            `(state, step) -> True, False or None`, alone or with a reason. None is
            the task's own; an empty list is none.
        abstain: When to give no answer: True, unless it is verified, which takes a check
            that does more than calculate (`protocols.StepCheck`); `"failed"`, where a check
            failed a step of its path.
        output: What a call returns: a `Solution`, its text as an `AIMessage`
            (with the answer and the rest of it, except for the tree, in
            `response_metadata`), or its text.
        seed: The seed of calls that give none.
        steps: What a step is: `thought`, `calculation`, `line`, or a number of tokens
            (`stepping.profiles`); None is the task's own form.

    Raises:
        InputError: Something passed cannot be used; the message says what to do.
    """

    _made_of: tuple[tuple[Any, ...], dict[str, Any]]
    overrides: ClassVar[tuple[str, ...]] = ("seed",)
    """What a call may give: by keyword, or as a key of a dict input."""

    def __init__(
        self,
        policy: Any = "nano",
        *,
        task: str | Task | None = None,
        prompts: str | Path = "auto",
        shots: int | None = None,
        checks: Sequence[str | StepCheck] | None = None,
        abstain: Abstain = False,
        output: Output = "solution",
        seed: int = 0,
        steps: StepForm | None = None,
    ) -> None:
        from langchain_qstar.models.resolve import resolve_policy
        from langchain_qstar.tasks import get_task

        if output not in ("solution", "message", "text"):
            raise SettingsError(f"output={output!r}: choose solution, message or text")
        self.policy: Policy = resolve_policy(policy)
        known = get_task(task or ("nano" if self.policy.name == "nano" else "gsm8k"))
        given = with_steps(known, steps)
        self._given = given, prompts, shots
        self.task: Task = self._task_for(self.policy)
        self.checks: StepChecks = resolve_checks(checks, self.task)
        self.abstain: Abstain = checked_abstain(abstain)
        self.output = output
        self.seed = checked_seed(seed)

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Keep what the chain is made of, which is how it is pickled."""
        made = super().__new__(cls)
        made._made_of = args, options  # of ours
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """A chain is pickled as what it was made of; models are loaded again by their names.

        Raises:
            SettingsError: Something of it cannot be pickled, such as an open store.
            ModelError: A model was not loaded by its name.
        """
        args, options = self._made_of
        try:
            pickle.dumps((args, options))
        except QStarError:
            raise
        except Exception as error:  # whatever its parts raise
            raise SettingsError(
                f"this chain cannot be pickled: {error}; make it in the other process"
            ) from error
        return _made, (type(self), args, options, self.output)

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A chain like this on the same models: nothing of it is changed by a call."""
        return copy(self)

    def returning(self, output: Output) -> Self:
        """The same chain, on the same models, with another kind of result."""
        other = copy(self)
        other.output = output
        return other

    @property
    def samples(self) -> int:
        """How many completions one question asks for at a time."""
        return 1

    def _together(self) -> int:
        """How many questions at once fill the policy's engine.

        Half as many again as fit: while some wait for their stragglers, others
        fill the rows.
        """
        rows = getattr(self.policy, "full_rows", 0)
        return max(CONCURRENCY, min(MOST_TOGETHER, -(-3 * rows // (2 * self.samples))))

    @abstractmethod
    def _solve(self, ask: Ask, config: RunnableConfig) -> Solution: ...

    @abstractmethod
    async def _asolve(self, ask: Ask, config: RunnableConfig) -> Solution: ...

    def _events(self, ask: Ask, config: RunnableConfig) -> Iterator[Any]:
        """What a stream yields; the last item is the solution."""
        yield self._solve(ask, config)

    async def _aevents(self, ask: Ask, config: RunnableConfig) -> AsyncIterator[Any]:
        yield await self._asolve(ask, config)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **overrides: Any) -> Any:
        """Solve one question.

        Args:
            input: The question, in any form that the module's text names.
            config: As for any Runnable.
            overrides: `seed` and budgets of this call.

        Returns:
            A `Solution`, an `AIMessage` or a string, as `output` says.

        Raises:
            QuestionError: The question cannot be asked.
            SettingsError: An override is unknown or out of range.
            ModelError: A model failed.
        """
        return self._call_with_config(self._run, input, config, **overrides)  # type: ignore[arg-type]

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **overrides: Any
    ) -> Any:
        """As `invoke`, without blocking the event loop."""
        return await self._acall_with_config(self._arun, input, config, **overrides)  # type: ignore[arg-type]

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **overrides: Any
    ) -> Iterator[Any]:
        """Solve one question, and tell what happens.

        Yields:
            For `QStarChain` and `RStarChain` the events of `state.events.SearchEvent`, dicts with a
            `type`; last, for every chain, what `invoke` would return.
        """
        items = self._transform_stream_with_config(iter([input]), self._stream, config, **overrides)  # type: ignore[arg-type]
        yield from items

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **overrides: Any
    ) -> AsyncIterator[Any]:
        """As `stream`, without blocking the event loop."""

        async def inputs() -> AsyncIterator[Any]:
            yield input

        items = self._atransform_stream_with_config(inputs(), self._astream, config, **overrides)  # type: ignore[arg-type]
        async with aclosing(items):  # type: ignore[type-var]  # a generator
            async for item in items:
                yield item

    def transform(
        self, input: Iterator[Any], config: RunnableConfig | None = None, **overrides: Any
    ) -> Iterator[Any]:
        """In the middle of a streamed pipe: the result only, for the next Runnable."""
        for question in joined(list(input)):
            yield self.invoke(question, config, **overrides)

    async def atransform(
        self, input: AsyncIterator[Any], config: RunnableConfig | None = None, **overrides: Any
    ) -> AsyncIterator[Any]:
        """As `transform`, without blocking the event loop."""
        for question in joined([chunk async for chunk in input]):
            yield await self.ainvoke(question, config, **overrides)

    def batch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **overrides: Any,
    ) -> list[Any]:
        """Solve questions together, as many at a time as keep the policy's engine full.

        That is 16 or more; `max_concurrency` of the config says otherwise.
        """
        configs = _concurrent(config, len(inputs), self._together())
        return super().batch(inputs, configs, return_exceptions=return_exceptions, **overrides)

    async def abatch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **overrides: Any,
    ) -> list[Any]:
        """As `batch`, without blocking the event loop."""
        configs = _concurrent(config, len(inputs), self._together())
        return await super().abatch(
            inputs, configs, return_exceptions=return_exceptions, **overrides
        )

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:
        """The schema of the dict form, which tools use."""
        return QuestionInput

    @property
    def OutputType(self) -> Any:  # noqa: N802  # LangChain's name
        """The type of what a call returns."""
        return {"solution": Solution, "message": AIMessage, "text": str}[self.output]

    def _run(self, value: Any, config: RunnableConfig, **overrides: Any) -> Any:
        return self._shaped(self._solve(self._ask(value, overrides), config))

    async def _arun(self, value: Any, config: RunnableConfig, **overrides: Any) -> Any:
        return self._shaped(await self._asolve(self._ask(value, overrides), config))

    def _stream(
        self, values: Iterator[Any], config: RunnableConfig, **overrides: Any
    ) -> Iterator[Any]:
        for value in values:
            for item in self._events(self._ask(value, overrides), config):
                yield self._shaped(item)

    async def _astream(
        self, values: AsyncIterator[Any], config: RunnableConfig, **overrides: Any
    ) -> AsyncIterator[Any]:
        async for value in values:
            events = self._aevents(self._ask(value, overrides), config)
            async with aclosing(events):  # type: ignore[type-var]  # a generator
                async for item in events:
                    yield self._shaped(item)

    def _task_for(self, policy: Policy) -> Task:
        """The task as `policy` is asked."""
        from langchain_qstar.tasks import fit_task

        task, prompts, shots = self._given
        return fit_task(task, policy, prompts=prompts, shots=shots)

    def _policies(self) -> tuple[Policy, ...]:
        """The models that generate."""
        return (self.policy,)

    def _shortfalls(self) -> tuple[str, ...]:
        told = (each.shortfalls for each in self._policies() if isinstance(each, FallsShort))
        lines = [line for lines in told for line in lines]
        if self.abstain is True and not self.checks.tests:
            why = "checks only calculate" if self.checks.names else "there are no checks"
            lines.append(UNVERIFIABLE.format(why=why))
        return tuple(dict.fromkeys(lines))

    def _ask(self, value: Any, overrides: Mapping[str, Any]) -> Ask:
        question, given = read(value)
        given = {**given, **overrides}
        for name in given:
            if name not in self.overrides:
                known = ", ".join(self.overrides)
                raise SettingsError(
                    f"a call of {self.get_name()} takes no '{name}'; known: {known}"
                )
        budget = {key: each for key, each in given.items() if key != "seed" and each is not None}
        seed = given.get("seed")
        seed = self.seed if seed is None else checked_seed(seed)
        return Ask(question.text, seed, budget, images=question.images)

    def _shaped(self, item: Any) -> Any:
        if isinstance(item, Solution):
            lines = dict.fromkeys((*self._shortfalls(), *item.usage.shortfalls))
            usage = item.usage.model_copy(update={"shortfalls": tuple(lines)})
            item = item.model_copy(update={"usage": usage})
        if not isinstance(item, Solution) or self.output == "solution":
            return item
        return item.text if self.output == "text" else message_of(item)


def message_of(solution: Solution) -> AIMessage:
    """The text of a solution as a message, with the rest but for what is large in its metadata."""
    usage = solution.usage
    facts = solution.model_dump(mode="json", exclude={"tree", "steps", "images", "turns"})
    return AIMessage(
        content=solution.text,
        response_metadata={"model_name": solution.policy, **facts},
        usage_metadata={
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        },
    )


def _concurrent(
    config: RunnableConfig | list[RunnableConfig] | None, count: int, together: int
) -> list[RunnableConfig]:
    configs = get_config_list(config, count)
    for each in configs:
        if each.get("max_concurrency") is None:
            each["max_concurrency"] = together
    return configs


def _made(
    kind: type[SolverChain], args: tuple[Any, ...], options: dict[str, Any], output: Output
) -> SolverChain:
    return kind(*args, **options).returning(output)
