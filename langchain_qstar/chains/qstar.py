"""Q* as a chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_qstar.chains.machine import MachineChain
from langchain_qstar.chains.solver import Output
from langchain_qstar.decisions import Decision
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.nodes.answer import stored_solution
from langchain_qstar.nodes.intervention import make_follow
from langchain_qstar.nodes.remembering import needed_store
from langchain_qstar.nodes.retrieving import retriever_of
from langchain_qstar.nodes.selection import best_popped
from langchain_qstar.nodes.thoughts import searched_by
from langchain_qstar.protocols import StepCheck, Task
from langchain_qstar.qstar import (
    create_qstar_graph,
    part_names,
    superstep_limit,
    verifier_of,
)
from langchain_qstar.scoring.resolve import scorer_of
from langchain_qstar.settings import BUDGETS, QStarSettings
from langchain_qstar.solution import Solution
from langchain_qstar.stepping.profiles import StepForm
from langchain_qstar.verification.verdict import Abstain

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore
    from langgraph.types import Checkpointer, StateSnapshot


class QStarChain(MachineChain):
    """Q*: best-first search over steps by f = g + lambda * h.

    Without arguments it is the bundled model with its Q-value model, on CPU and
    offline. A call may give `seed` and the budgets `max_pops`, `max_tokens`,
    `max_completions`, `max_seconds` and `max_nodes`.

    With a checkpointer every call names a thread,
    `config={"configurable": {"thread_id": ...}}`. A call that was killed is
    resumed by the same call again: no finished expansion is repeated, and the
    tree is the one it would have been. Another call is refused until then; see
    `threads.py`. `resume` goes on without the question, and with what a person says.

    It sets the graph's `recursion_limit` from `max_pops` itself; what a caller
    or LangChain's default says about it is meant for other graphs.

    Args:
        policy: Proposes steps; see `SolverChain`.
        q_model: Source of h. `"default"` is the bundled head for the bundled
            model and the log-probability of the path for any other, or the agreement of
            samples where the policy gives none (`default_scorer`). Otherwise a
            name, a folder that `qstar train` wrote, a `StepScorer`, or a function
            `(state, steps) -> list[float]`; see `resolve_scorer`. None makes
            h = 0, and the search depth-first unless there is a `utility`.
        utility: Source of g, a process reward model, in the same forms but
            `"default"`; None is R_P = 0.
        task: See `SolverChain`.
        prompts: See `SolverChain`.
        shots: See `SolverChain`.
        checks: See `SolverChain`; `failed_check` of the settings says what one does.
        abstain: See `SolverChain`; also a setting.
        settings: `QStarSettings` or a dict of them.
        verifier: Completes what was collected, in the forms of a policy, where the setting
            `verify` is `"after"`; None is the policy itself.
        retriever: Finds passages, where the setting `actions` names `retrieve`: any
            retriever of LangChain, or another Runnable from a text to documents.
        checkpointer: Where LangGraph stores the search, if anywhere.
        store: Where sub-questions are remembered across questions, where the setting
            `remember` says so: any store of LangGraph.
        output: See `SolverChain`.
        seed: See `SolverChain`.

    Raises:
        InputError: Something passed cannot be used; the message says what to do.
    """

    overrides = ("seed", *BUDGETS)

    def __init__(
        self,
        policy: Any = "nano",
        q_model: Any = "default",
        *,
        utility: Any = None,
        task: str | Task | None = None,
        prompts: str | Path = "auto",
        shots: int | None = None,
        checks: Sequence[str | StepCheck] | None = None,
        abstain: Abstain = False,
        settings: QStarSettings | Mapping[str, Any] | None = None,
        verifier: Any = None,
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
        self.settings: QStarSettings = QStarSettings.of(settings, abstain=abstain)
        self.abstain = self.settings.abstain
        self.task = searched_by(self.settings, self.task, self.policy)
        self.q_model = scorer_of(q_model, self.policy)
        self.utility = scorer_of(utility, self.policy)
        asked = None if verifier is None else resolve_policy(verifier)
        self.verifier = verifier_of(asked, self.policy, self.settings)
        self.retriever = retriever_of(retriever, self.settings.actions)
        self.checkpointer = checkpointer
        self.store = needed_store(store, self.settings)
        self._names = part_names(
            self.policy,
            self.q_model,
            self.utility,
            self.task,
            self.checks,
            verifier=self.verifier,
            retriever=self.retriever,
        )
        graph = create_qstar_graph(
            self.policy,
            self.q_model,
            self.utility,
            task=self.task,
            settings=self.settings,
            checks=checks,
            verifier=self.verifier,
            verifier_task=None if self.verifier is None else self._task_for(self.verifier),
            retriever=self.retriever,
        )
        self._graph = graph.compile(checkpointer=checkpointer, store=store, name="qstar")

    @property
    def samples(self) -> int:
        """How many completions one question asks for at a time."""
        return self.settings.num_samples

    def _found(self, values: Mapping[str, Any]) -> dict[str, Any]:
        chosen = best_popped(values["nodes"], values["stats"])
        return {"method": "qstar", "chosen": chosen, "collected": values["collected"]}

    def _stored(self, values: Mapping[str, Any]) -> Solution:
        return stored_solution(values, self.task, self.settings)

    def _intervention(
        self, snapshot: StateSnapshot, decision: Decision, asked: Sequence[str]
    ) -> tuple[dict[str, Any], str]:
        update = make_follow(self.policy, self.task)(snapshot.values, decision, asked)
        return update | {"stopped": "", "answer": None}, "score_with_q"

    def _superstep_limit(self, settings: QStarSettings, written: int) -> int:
        return superstep_limit(settings, written)
