"""The methods as LangChain Runnables: a question in, a `Solution` out.

`QStarChain` runs the machine of `qstar.py`; `GreedyChain`, `SelfConsistencyChain`
and `BestOfNChain` run the baselines, with the same inputs and outputs. Each is
one run in a trace, with everything it does below it.

What they accept: a string; a dict with `question`, and with a seed and budgets
if wanted; a message, a list of messages, a dict with `messages` or a prompt
value, of which the last human message is the question.
"""

# ruff: noqa: A002, ARG002  # `input` and `config` are LangChain's names, used or not

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list, patch_config
from pydantic import BaseModel, Field

from langchain_qstar.checks.running import StepChecks, checked, resolve_checks
from langchain_qstar.errors import QuestionError, SettingsError
from langchain_qstar.nodes.root import run_facts
from langchain_qstar.protocols import Policy, StepCheck, StepScorer, Task
from langchain_qstar.qstar import create_qstar_graph, part_names, superstep_limit
from langchain_qstar.settings import BUDGETS, QStarSettings
from langchain_qstar.solution import Solution

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import Checkpointer, StateSnapshot

    from langchain_qstar.state import QStarInput

Output = Literal["solution", "message", "text"]

CONCURRENCY: Final = 16
"""Questions of a `batch` that are worked on together, at least, to share the policy's batches."""

MOST_TOGETHER: Final = 128
"""As many threads as a `batch` starts at most, unless `max_concurrency` says otherwise."""


class QuestionInput(BaseModel):
    """The input as a dict. A seed and budgets may be added to it."""

    question: str = Field(description="the question, in plain words")


@dataclass(frozen=True, slots=True)
class Ask:
    """One call: the question, the seed, and budgets that replace those of the settings."""

    question: str
    seed: int
    budget: Mapping[str, Any]


class SolverChain(Runnable[Any, Any]):
    """What all methods share: inputs, outputs, concurrency, and being one run.

    Args:
        policy: A name, folder, `(model, tokenizer)` pair, LangChain chat model
            or `Policy`; see `models.resolve_policy`.
        task: A name or a `Task`; by default `nano` for the bundled model and
            `gsm8k` for any other.
        checks: What judges the steps: names (`arithmetic`, `symbolic`) and functions
            `(state, step) -> True, False or None`, alone or with a reason. None is
            the task's own; an empty list is none.
        abstain: Give no answer that the checks do not verify.
        output: What a call returns: a `Solution`, its text as an `AIMessage`
            (with the answer and the rest of it, except for the tree, in
            `response_metadata`), or its text.
        seed: The seed of calls that give none.

    Raises:
        InputError: Something passed cannot be used; the message says what to do.
    """

    overrides: ClassVar[tuple[str, ...]] = ("seed",)
    """What a call may give: by keyword, or as a key of a dict input."""

    def __init__(
        self,
        policy: Any = "nano",
        *,
        task: str | Task | None = None,
        checks: Sequence[str | StepCheck] | None = None,
        abstain: bool = False,
        output: Output = "solution",
        seed: int = 0,
    ) -> None:
        from langchain_qstar.models.resolve import resolve_policy
        from langchain_qstar.tasks import get_task

        if output not in ("solution", "message", "text"):
            raise SettingsError(f"output={output!r}: choose solution, message or text")
        self.policy: Policy = resolve_policy(policy)
        self.task: Task = get_task(task or ("nano" if self.policy.name == "nano" else "gsm8k"))
        self.checks: StepChecks = resolve_checks(checks, self.task)
        self.abstain = abstain
        self.output = output
        self.seed = _checked_seed(seed)

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
            overrides: `seed`, and for `QStarChain` budgets, of this call.

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
            For `QStarChain` the events of `state.SearchEvent`, dicts with a
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
        async for item in items:
            yield item

    def transform(
        self, input: Iterator[Any], config: RunnableConfig | None = None, **overrides: Any
    ) -> Iterator[Any]:
        """In the middle of a streamed pipe: the result only, for the next Runnable."""
        for question in _joined(list(input)):
            yield self.invoke(question, config, **overrides)

    async def atransform(
        self, input: AsyncIterator[Any], config: RunnableConfig | None = None, **overrides: Any
    ) -> AsyncIterator[Any]:
        """As `transform`, without blocking the event loop."""
        for question in _joined([chunk async for chunk in input]):
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
            async for item in self._aevents(self._ask(value, overrides), config):
                yield self._shaped(item)

    def _ask(self, value: Any, overrides: Mapping[str, Any]) -> Ask:
        question, given = _read(value)
        given = {**given, **overrides}
        for name in given:
            if name not in self.overrides:
                known = ", ".join(self.overrides)
                raise SettingsError(
                    f"a call of {self.get_name()} takes no '{name}'; known: {known}"
                )
        budget = {key: each for key, each in given.items() if key != "seed" and each is not None}
        seed = given.get("seed")
        return Ask(question, self.seed if seed is None else _checked_seed(seed), budget)

    def _shaped(self, item: Any) -> Any:
        if not isinstance(item, Solution) or self.output == "solution":
            return item
        return item.text if self.output == "text" else _message(item)


class QStarChain(SolverChain):
    """Q*: best-first search over steps by f = g + lambda * h.

    Without arguments it is the bundled model with its Q-value model, on CPU and
    offline. A call may give `seed` and the budgets `max_pops`, `max_tokens`,
    `max_completions`, `max_seconds` and `max_nodes`.

    With a checkpointer every call names a thread,
    `config={"configurable": {"thread_id": ...}}`. A call that was killed is
    resumed by the same call again: no finished expansion is repeated, and the
    tree is the one it would have been. Another question, seed or setting in the
    same thread starts anew.

    It sets the graph's `recursion_limit` from `max_pops` itself; what a caller
    or LangChain's default says about it is meant for other graphs.

    Args:
        policy: Proposes steps; see `SolverChain`.
        q_model: Source of h. `"default"` is the bundled head for the bundled
            model and the steps' own log-probabilities for any other; `"nano"`,
            `"log-probability"`, a folder with a head, a `StepScorer`, or a
            function `(state, steps) -> list[float]`. None makes h = 0, and the
            search depth-first unless there is a `utility`.
        utility: Source of g, a process reward model, in the same forms but
            `"default"`; None is R_P = 0.
        task: See `SolverChain`.
        checks: See `SolverChain`; `failed_check` of the settings says what one does.
        abstain: See `SolverChain`; also a setting.
        settings: `QStarSettings` or a dict of them.
        checkpointer: Where LangGraph stores the search, if anywhere.
        output: See `SolverChain`.
        seed: See `SolverChain`.
    """

    overrides = ("seed", *BUDGETS)

    def __init__(
        self,
        policy: Any = "nano",
        q_model: Any = "default",
        *,
        utility: Any = None,
        task: str | Task | None = None,
        checks: Sequence[str | StepCheck] | None = None,
        abstain: bool = False,
        settings: QStarSettings | Mapping[str, Any] | None = None,
        checkpointer: Checkpointer = None,
        output: Output = "solution",
        seed: int = 0,
    ) -> None:
        super().__init__(
            policy, task=task, checks=checks, abstain=abstain, output=output, seed=seed
        )
        self.settings = _settings(settings)
        if abstain:
            self.settings = self.settings.replace(abstain=True)
        self.q_model = _scorer(q_model, self.policy)
        self.utility = _scorer(utility, self.policy)
        self.checkpointer = checkpointer
        self._names = part_names(self.policy, self.q_model, self.utility, self.task, self.checks)
        graph = create_qstar_graph(
            self.policy,
            self.q_model,
            self.utility,
            task=self.task,
            settings=self.settings,
            checks=checks,
        )
        self._graph = graph.compile(checkpointer=checkpointer, name="qstar")

    @property
    def samples(self) -> int:
        """How many completions one question asks for at a time."""
        return self.settings.num_samples

    @property
    def graph(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """The compiled graph, for drawing, sub-graphs and servers."""
        return self._graph

    def _solve(self, ask: Ask, config: RunnableConfig) -> Solution:
        config = self._graph_config(ask, config)
        result = self._graph.invoke(self._start(ask, config), config, **self._how())
        return Solution.model_validate(result["solution"])

    async def _asolve(self, ask: Ask, config: RunnableConfig) -> Solution:
        config = self._graph_config(ask, config)
        start = await self._astart(ask, config)
        result = await self._graph.ainvoke(start, config, **self._how())
        return Solution.model_validate(result["solution"])

    def _events(self, ask: Ask, config: RunnableConfig) -> Iterator[Any]:
        config = self._graph_config(ask, config)
        last: Any = None
        for mode, item in self._graph.stream(
            self._start(ask, config), config, stream_mode=["custom", "values"], **self._how()
        ):
            if mode == "custom":
                yield item
            else:
                last = item
        yield Solution.model_validate(last["solution"])

    async def _aevents(self, ask: Ask, config: RunnableConfig) -> AsyncIterator[Any]:
        config = self._graph_config(ask, config)
        start = await self._astart(ask, config)
        last: Any = None
        async for mode, item in self._graph.astream(
            start, config, stream_mode=["custom", "values"], **self._how()
        ):
            if mode == "custom":
                yield item
            else:
                last = item
        yield Solution.model_validate(last["solution"])

    def _settings_of(self, ask: Ask) -> QStarSettings:
        return self.settings.replace(**ask.budget) if ask.budget else self.settings

    def _graph_config(self, ask: Ask, config: RunnableConfig) -> RunnableConfig:
        if self.checkpointer and "thread_id" not in config.get("configurable", {}):
            raise SettingsError(
                "with a checkpointer, name a thread: "
                "config={'configurable': {'thread_id': 'any name'}}"
            )
        return patch_config(config, recursion_limit=superstep_limit(self._settings_of(ask)))

    def _how(self) -> dict[str, Any]:
        """Each superstep is stored before the next begins, or a kill would lose some."""
        return {"durability": "sync"} if self.checkpointer else {}

    def _start(self, ask: Ask, config: RunnableConfig) -> QStarInput | None:
        """What the graph starts from: the question, or None to go on where it was killed."""
        if self.checkpointer and self._is_rest_of(self._graph.get_state(config), ask):
            return None
        return {"question": ask.question, "seed": ask.seed, "budget": dict(ask.budget)}

    async def _astart(self, ask: Ask, config: RunnableConfig) -> QStarInput | None:
        if self.checkpointer and self._is_rest_of(await self._graph.aget_state(config), ask):
            return None
        return {"question": ask.question, "seed": ask.seed, "budget": dict(ask.budget)}

    def _is_rest_of(self, snapshot: StateSnapshot, ask: Ask) -> bool:
        """Whether the thread holds an unfinished run of this very call."""
        root = snapshot.values.get("nodes", {}).get("0")
        if not snapshot.next or root is None:
            return False
        facts = run_facts(ask.question, ask.seed, self._settings_of(ask), self._names)
        return bool(root["run"] == facts)


class _BaselineChain(SolverChain):
    """A method of `baselines/`, with the options it is called with."""

    overrides = ("seed", "max_tokens")
    options: Mapping[str, Any] = MappingProxyType({})

    @property
    def samples(self) -> int:
        """How many completions one question asks for at a time."""
        return int(self.options.get("n", 1))

    @abstractmethod
    def _method(self) -> tuple[Callable[..., Solution], Callable[..., Awaitable[Solution]]]:
        """The function of the method, blocking and not."""

    def _solve(self, ask: Ask, config: RunnableConfig) -> Solution:
        return self._checked(self._method()[0](ask.question, **self._arguments(ask)))

    async def _asolve(self, ask: Ask, config: RunnableConfig) -> Solution:
        solution = await self._method()[1](ask.question, **self._arguments(ask))
        return await asyncio.to_thread(self._checked, solution)

    def _checked(self, solution: Solution) -> Solution:
        """The solution with the verdicts on its steps; they do not change which it is."""
        solution = checked(solution, self.checks, self.task)
        withheld = self.abstain and not solution.verified
        return solution.model_copy(update={"answer": None}) if withheld else solution

    def _arguments(self, ask: Ask) -> dict[str, Any]:
        shared = {"policy": self.policy, "task": self.task, "seed": ask.seed}
        return {**shared, **self.options, **ask.budget}


class GreedyChain(_BaselineChain):
    """One solution at temperature 0. For the arguments see `SolverChain`."""

    def _method(self) -> tuple[Callable[..., Solution], Callable[..., Awaitable[Solution]]]:
        from langchain_qstar.baselines.greedy import agreedy, greedy

        return greedy, agreedy


class SelfConsistencyChain(_BaselineChain):
    """The most frequent answer of `n` sampled solutions.

    Args:
        policy: See `SolverChain`.
        n: Solutions to sample.
        temperature: Of the sampling.
        shared: `task`, `checks`, `abstain`, `output` and `seed`, as for `SolverChain`.
    """

    def __init__(
        self, policy: Any = "nano", *, n: int = 16, temperature: float = 0.8, **shared: Any
    ) -> None:
        super().__init__(policy, **shared)
        self.options = {"n": n, "temperature": temperature}

    def _method(self) -> tuple[Callable[..., Solution], Callable[..., Awaitable[Solution]]]:
        from langchain_qstar.baselines.self_consistency import aself_consistency, self_consistency

        return self_consistency, aself_consistency


class BestOfNChain(_BaselineChain):
    """Of `n` sampled solutions the one a scorer likes best.

    Args:
        policy: See `SolverChain`.
        q_model: The scorer, in the forms `QStarChain` takes, but not None.
        n: Solutions to sample.
        temperature: Of the sampling.
        aggregate: How the scores of a solution's steps become its score:
            `min`, `last` or `mean`.
        weighted: Add the scores of equal answers instead of taking the best.
        shared: `task`, `checks`, `abstain`, `output` and `seed`, as for `SolverChain`.

    Raises:
        SettingsError: There is no scorer.
    """

    def __init__(
        self,
        policy: Any = "nano",
        q_model: Any = "default",
        *,
        n: int = 16,
        temperature: float = 0.8,
        aggregate: Literal["min", "last", "mean"] = "min",
        weighted: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(policy, **shared)
        scorer = _scorer(q_model, self.policy)
        if scorer is None:
            raise SettingsError("best-of-n needs a q_model; self-consistency does without one")
        self.options = {
            "scorer": scorer,
            "n": n,
            "temperature": temperature,
            "aggregate": aggregate,
            "weighted": weighted,
        }

    def _method(self) -> tuple[Callable[..., Solution], Callable[..., Awaitable[Solution]]]:
        from langchain_qstar.baselines.best_of_n import abest_of_n, best_of_n

        return best_of_n, abest_of_n


def _read(value: Any) -> tuple[Any, dict[str, Any]]:
    """The question in an input, and what else a dict input gives."""
    if isinstance(value, str):
        return value, {}
    if isinstance(value, Mapping):
        given = dict(value)
        if "question" in given:
            return given.pop("question"), given
        if "messages" in given:
            return _last_question(given.pop("messages")), given
        raise QuestionError("the input has no 'question'; pass a string or {'question': ...}")
    return _last_question(value), {}


def _last_question(value: Any) -> str:
    """The text of the last human message."""
    if isinstance(value, PromptValue):
        messages: Sequence[BaseMessage] = value.to_messages()
    elif isinstance(value, BaseMessage):
        messages = [value]
    elif isinstance(value, (list, tuple)):
        try:
            messages = convert_to_messages(value)
        except (ValueError, NotImplementedError, TypeError, KeyError) as error:
            raise QuestionError(f"the input is not a list of messages: {error}") from None
    else:
        raise QuestionError(
            f"the input must be a string, a dict with 'question' or messages, "
            f"not {type(value).__name__}"
        )
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            return str(message.text)
    raise QuestionError("the messages hold no human message to answer")


def _joined(chunks: list[Any]) -> list[Any]:
    """The chunks of a streamed input as one input; none when nothing came."""
    if chunks and all(isinstance(chunk, str) for chunk in chunks):
        return ["".join(chunks)]
    return chunks[-1:]


def _message(solution: Solution) -> AIMessage:
    usage = solution.usage
    facts = solution.model_dump(mode="json", exclude={"tree", "steps"})
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


def _settings(settings: QStarSettings | Mapping[str, Any] | None) -> QStarSettings:
    if settings is None or isinstance(settings, QStarSettings):
        return settings or QStarSettings()
    return QStarSettings(**settings)


def _scorer(spec: Any, policy: Policy) -> StepScorer | None:
    from langchain_qstar.scoring.resolve import default_scorer, resolve_scorer

    return default_scorer(policy) if spec == "default" else resolve_scorer(spec, policy)


def _checked_seed(seed: Any) -> int:
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise SettingsError(f"seed={seed!r} is not an integer")
    return seed
