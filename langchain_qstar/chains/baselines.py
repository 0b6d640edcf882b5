"""The baselines as chains, with the inputs and outputs of the searches."""

# ruff: noqa: ARG002  # `config` is LangChain's name, used or not

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from langchain_core.runnables import RunnableConfig

from langchain_qstar.chains.asking import Ask
from langchain_qstar.chains.solver import SolverChain
from langchain_qstar.checks.running import checked
from langchain_qstar.errors import SettingsError
from langchain_qstar.scoring.resolve import scorer_of
from langchain_qstar.solution import Solution
from langchain_qstar.verification.verdict import withholds


class _BaselineChain(SolverChain):
    """A method of `baselines/`, with the options it is called with."""

    overrides: ClassVar[tuple[str, ...]] = ("seed", "max_tokens", "max_completions", "max_seconds")
    options: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        policy: Any = "nano",
        *,
        max_tokens: int | None = None,
        max_completions: int | None = None,
        max_seconds: float | None = None,
        **shared: Any,
    ) -> None:
        from langchain_qstar.baselines.budget import Budget

        super().__init__(policy, **shared)
        self.options = asdict(Budget(max_tokens, max_completions, max_seconds))

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
        """The solution with the verdicts on its steps, and no answer that is to be withheld."""
        solution = checked(solution, self.checks, self.task)
        withheld = withholds(self.abstain, verified=solution.verified)
        return solution.model_copy(update={"answer": None}) if withheld else solution

    def _arguments(self, ask: Ask) -> dict[str, Any]:
        shared = {
            "policy": self.policy,
            "task": self.task,
            "checks": self.checks,
            "seed": ask.seed,
        }
        return {**shared, **self.options, **ask.budget, "images": ask.images}


class GreedyChain(_BaselineChain):
    """One solution at temperature 0.

    Args:
        policy: See `SolverChain`.
        max_tokens: Most tokens to generate; None is no limit. As for every baseline, a call
            may give it too, and the next two.
        max_completions: Most completions to draw.
        max_seconds: Most seconds.
        shared: `task`, `checks`, `abstain`, `output` and `seed`, as for `SolverChain`.

    Raises:
        SettingsError: A budget is impossible.
    """

    def _method(self) -> tuple[Callable[..., Solution], Callable[..., Awaitable[Solution]]]:
        from langchain_qstar.baselines.greedy import agreedy, greedy

        return greedy, agreedy


class SelfConsistencyChain(_BaselineChain):
    """The most frequent answer of `n` sampled solutions.

    Args:
        policy: See `SolverChain`.
        n: Solutions to sample.
        temperature: Of the sampling.
        top_p: Sample from the smallest set of most likely tokens with this total probability.
        top_k: Sample from the k most likely tokens; 0 is all of them.
        checked: Whether only solutions vote that fail no check; all do when none of those
            has an answer. The method is called `checked-self-consistency` then.
        shared: As for `GreedyChain`.

    Raises:
        SettingsError: A budget is impossible, or there is no check to be `checked` by.
    """

    def __init__(
        self,
        policy: Any = "nano",
        *,
        n: int = 16,
        temperature: float = 0.8,
        top_p: float = 1.0,
        top_k: int = 0,
        checked: bool = False,
        **shared: Any,
    ) -> None:
        from langchain_qstar.baselines.sampling import SamplingParameters

        super().__init__(policy, **shared)
        if checked:
            from langchain_qstar.baselines.self_consistency import require_checks

            require_checks(self.checks, self.task)
        self.options = {
            **self.options,
            "n": n,
            **asdict(SamplingParameters(temperature, top_p, top_k)),
            "checked": checked,
            "abstain": self.abstain,
        }

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
        top_p: Sample from the smallest set of most likely tokens with this total probability.
        top_k: Sample from the k most likely tokens; 0 is all of them.
        aggregate: How the scores of a solution's steps become its score:
            `min`, `last` or `mean`.
        weighted: Add the scores of equal answers instead of taking the best.
        shared: As for `GreedyChain`.

    Raises:
        SettingsError: There is no scorer, or a budget is impossible.
    """

    def __init__(
        self,
        policy: Any = "nano",
        q_model: Any = "default",
        *,
        n: int = 16,
        temperature: float = 0.8,
        top_p: float = 1.0,
        top_k: int = 0,
        aggregate: Literal["min", "last", "mean"] = "min",
        weighted: bool = False,
        **shared: Any,
    ) -> None:
        from langchain_qstar.baselines.sampling import SamplingParameters

        super().__init__(policy, **shared)
        scorer = scorer_of(q_model, self.policy)
        if scorer is None:
            raise SettingsError("best-of-n needs a q_model; self-consistency does without one")
        self.options = {
            **self.options,
            "scorer": scorer,
            "n": n,
            **asdict(SamplingParameters(temperature, top_p, top_k)),
            "aggregate": aggregate,
            "weighted": weighted,
            "abstain": self.abstain,
        }

    def _method(self) -> tuple[Callable[..., Solution], Callable[..., Awaitable[Solution]]]:
        from langchain_qstar.baselines.best_of_n import abest_of_n, best_of_n

        return best_of_n, abest_of_n
