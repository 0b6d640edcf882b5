"""rStar as a chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_qstar.chains.machine import MachineChain
from langchain_qstar.chains.solver import Output
from langchain_qstar.chains.threads import ahead
from langchain_qstar.decisions import Decision
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.nodes.remembering import needed_store
from langchain_qstar.nodes.retrieving import retriever_of
from langchain_qstar.nodes.rstar.answer import most_visited, stored_solution
from langchain_qstar.nodes.rstar.intervention import counting, make_follow
from langchain_qstar.nodes.rstar.recording import shown
from langchain_qstar.protocols import Policy, StepCheck, Task
from langchain_qstar.rstar import (
    create_rstar_graph,
    parts_of,
    rstar_part_names,
    rstar_superstep_limit,
)
from langchain_qstar.scoring.resolve import scorer_of
from langchain_qstar.settings import RSTAR_BUDGETS, RStarSettings
from langchain_qstar.settings.rstar import EVERY_ACTION
from langchain_qstar.solution import Solution
from langchain_qstar.stepping.profiles import StepForm
from langchain_qstar.tasks.fitting import fit_rstar_task
from langchain_qstar.verification.verdict import Abstain

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore
    from langgraph.types import Checkpointer, StateSnapshot


class RStarChain(MachineChain):
    """rStar: Monte Carlo tree search over five reasoning actions, and mutual verification.

    Without arguments it is the bundled model, on CPU and offline. A call may give
    `seed` and the budgets `num_rollouts`, `max_tokens`, `max_completions`,
    `max_seconds` and `max_nodes`.

    With a checkpointer it is resumed as `QStarChain` is: by the same call again in
    the same thread, and it ends in the same tree; and a person may decide about its steps
    (the setting `interrupt`, and `resume`). Rollouts through a step that is forbidden or
    replaced count no longer and are made again elsewhere; what a person wrote is looked at
    next, earns 1 where it ends a solution, and is then the answer.

    Args:
        policy: Writes the steps; see `SolverChain`.
        verifier: Completes candidates, in the same forms; None is the policy itself.
        task: See `SolverChain`.
        prompts: See `SolverChain`; how the examples of rStar's actions are shown, so not
            `zero-shot` (`tasks.fit_rstar_task`).
        shots: See `SolverChain`.
        settings: `RStarSettings`, such as `RStarSettings.profile("paper")`, or a dict of
            them.
        q_model: For the settings `prior` and `reward`: a scorer in the forms that
            `QStarChain` takes; None is none.
        checks: See `SolverChain`; `failed_check` of the settings says whether a candidate
            with a failed step can win.
        abstain: See `SolverChain`; also a setting.
        retriever: Finds passages, where the setting `actions` names `retrieve`: any
            retriever of LangChain, or another Runnable from a text to documents.
        checkpointer: Where LangGraph stores the search, if anywhere.
        store: Where sub-questions are remembered across questions, where the setting
            `remember` says so: any store of LangGraph.
        output: See `SolverChain`.
        seed: See `SolverChain`.
    """

    overrides = ("seed", *RSTAR_BUDGETS)

    def __init__(
        self,
        policy: Any = "nano",
        verifier: Any = None,
        *,
        task: str | Task | None = None,
        prompts: str | Path = "auto",
        shots: int | None = None,
        settings: RStarSettings | Mapping[str, Any] | None = None,
        q_model: Any = None,
        checks: Sequence[str | StepCheck] | None = None,
        abstain: Abstain = False,
        retriever: Any = None,
        checkpointer: Checkpointer = None,
        store: BaseStore | None = None,
        output: Output = "solution",
        seed: int = 0,
        steps: StepForm | None = None,
    ) -> None:
        super().__init__(
            policy,
            task=task,
            prompts=prompts,
            shots=shots,
            checks=checks,
            abstain=abstain,
            output=output,
            seed=seed,
            steps=steps,
        )
        self.settings: RStarSettings = RStarSettings.of(settings, abstain=abstain)
        self.abstain = self.settings.abstain
        completes = self.policy if verifier is None else resolve_policy(verifier)
        self.verifier = completes
        self.verifier_task = self._task_for(completes)
        self.q_model = scorer_of(q_model, self.policy)
        self.retriever = retriever_of(retriever, self.settings.actions)
        self._parts = parts_of(self.policy, self.task, self.settings, self.retriever)
        self.checkpointer = checkpointer
        self.store = needed_store(store, self.settings)
        self._names = rstar_part_names(
            self.policy,
            completes,
            self.q_model,
            self.task,
            self.checks,
            retriever=self.retriever,
        )
        itself = self.settings.selection == "self_verification"
        graph = create_rstar_graph(
            self.policy,
            completes,
            self.q_model,
            task=self.task,
            settings=self.settings,
            checks=checks,
            judge=scorer_of("self-evaluation", self.policy) if itself else None,
            verifier_task=self.verifier_task,
            retriever=self.retriever,
        )
        self._graph = graph.compile(checkpointer=checkpointer, store=store, name="rstar")

    @property
    def samples(self) -> int:
        """How many completions one question asks for at a time."""
        return self.settings.num_last_votes

    def _found(self, values: Mapping[str, Any]) -> dict[str, Any]:
        stats = values["stats"]
        chosen = most_visited(values["nodes"], stats)
        return {
            "method": "rstar",
            "chosen": chosen,
            "collected": counting(stats, values["ended"]),
            "shown": shown,
        }

    def _stored(self, values: Mapping[str, Any]) -> Solution:
        return stored_solution(values, self.task, self.settings)

    def _intervention(
        self, snapshot: StateSnapshot, decision: Decision, asked: Sequence[str]
    ) -> tuple[dict[str, Any], str]:
        values, next_ones = snapshot.values, ahead(snapshot)
        update = make_follow(self._parts)(values, decision, asked)
        if values["stopped"] and not decision.forbid and not decision.edit:
            return update, "verify_by_completion"  # it asks for the answer, and has it
        update |= {"stopped": "", "answer": None}
        if "backup" in next_ones:  # the actions have written; then backup takes it from there
            return update, EVERY_ACTION[0]
        if next_ones & {*EVERY_ACTION}:  # select has begun rollouts that backup does not know
            update["in_flight"] = values["work"]["rollouts"]
        return update, "backup"

    def _task_for(self, policy: Policy) -> Task:
        task, prompts, shots = self._given
        return fit_rstar_task(task, policy, prompts=prompts, shots=shots)

    def _superstep_limit(self, settings: RStarSettings, written: int) -> int:
        return rstar_superstep_limit(settings, written)
