"""Q* as a state machine: root -> select -> propose_step -> score_with_q -> select ... -> answer.

Algorithm 1 of the Q* paper (arXiv 2406.14283): the open state of highest
f = g + lambda * h is popped, K next steps of it are sampled, and the states
they lead to are opened with their own f, until N complete trajectories were
popped, a budget is spent, or nothing is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from langchain_core.runnables import Runnable
from langgraph.graph import END, START, StateGraph

from langchain_qstar.checks.running import StepChecks, resolve_checks
from langchain_qstar.errors import SettingsError
from langchain_qstar.nodes.answer import find, make_answer
from langchain_qstar.nodes.budgets import left_of_run
from langchain_qstar.nodes.human_gate import Gate, make_human_gate
from langchain_qstar.nodes.intervention import make_follow
from langchain_qstar.nodes.mutual.verify_collected import make_verify_collected
from langchain_qstar.nodes.phase import Phase
from langchain_qstar.nodes.propose_step import make_propose_step
from langchain_qstar.nodes.retrieving import retriever_of
from langchain_qstar.nodes.root import make_root
from langchain_qstar.nodes.score_with_q import make_score_with_q
from langchain_qstar.nodes.select import select
from langchain_qstar.nodes.thoughts import searched_by
from langchain_qstar.nodes.tracing import TRACE
from langchain_qstar.nodes.work import left_of_round, unfinished
from langchain_qstar.protocols import Policy, StepCheck, StepScorer, Task
from langchain_qstar.settings import QStarSettings
from langchain_qstar.state.channels import SearchInput, SearchOutput
from langchain_qstar.state.qstar import (
    AnswerView,
    GateView,
    QStarRootView,
    QStarState,
    SelectView,
    WorkView,
)

NO_LIMIT: Final = 10**9
"""A recursion limit that no search reaches."""


def create_qstar_graph(
    policy: Policy,
    q_model: StepScorer | None = None,
    utility: StepScorer | None = None,
    *,
    task: Task,
    settings: QStarSettings | None = None,
    checks: Sequence[str | StepCheck] | None = None,
    verifier: Policy | None = None,
    verifier_task: Task | None = None,
    retriever: Runnable[str, Any] | None = None,
    context_schema: type[Any] | None = None,
) -> StateGraph[QStarState, Any, SearchInput, SearchOutput]:
    """The machine, not compiled, for sub-graphs, servers and Studio.

    It reads `question`, `images`, `seed` and `budget` and ends with `answer`, `stopped`
    and `solution` (a `Solution` as JSON types). Compiled by hand, give it a
    `recursion_limit` (see `superstep_limit`); `QStarChain` does.

    Args:
        policy: Proposes steps.
        q_model: Q(state, step) in [0, 1], the source of h. Without one h is 0:
            open states are then ordered by `utility` alone, and without that
            too by depth, which is a depth-first search.
        utility: R_P(state, step), a process reward model, the source of g.
            None is R_P = 0, the paper's setting for MATH.
        task: How the question is prompted, split, ended and answered; `tasks.fit_task` makes
            one fit the policy.
        settings: Settings of the search; defaults are those of `QStarSettings`.
        checks: What judges the steps, names or functions; None is the task's own.
        verifier: Completes what was collected, where the setting `verify` asks for it; None
            is the policy itself.
        verifier_task: How the verifier is asked; None is as the policy is.
        retriever: Finds passages, where the setting `actions` names `retrieve`: any
            retriever of LangChain, or another Runnable from a text to documents.
        context_schema: What a server shows of the context it takes; no node reads one.

    Returns:
        A `StateGraph`; `.compile(checkpointer=...)` makes it runnable.

    Raises:
        SettingsError: Thoughts are to be searched that the policy keeps apart. There is a
            verifier, but `verify` does not ask for one; or a
            retriever, but not the action, or the action without one.
    """
    settings = settings or QStarSettings()
    task = searched_by(settings, task, policy)
    verifier = verifier_of(verifier, policy, settings)
    retriever = retriever_of(retriever, settings.actions)
    gated = bool(settings.interrupt)
    before_answer = "human_gate" if "answer" in settings.interrupt else "answer"
    judges = resolve_checks(checks, task)
    names = part_names(
        policy, q_model, utility, task, judges, verifier=verifier, retriever=retriever
    )
    graph: StateGraph[QStarState, Any, SearchInput, SearchOutput] = StateGraph(
        QStarState,
        context_schema=context_schema,
        input_schema=SearchInput,
        output_schema=SearchOutput,
    )
    root = Phase("root", make_root(policy, task, settings, names, verifier))
    propose_step = Phase(
        "propose_step",
        make_propose_step(policy, task, settings, judges, retriever),
        left_of_round,
    )
    score_with_q = Phase(
        "score_with_q", make_score_with_q(q_model, utility, task, settings, judges), left_of_round
    )
    answer = Phase("answer", make_answer(policy, task, settings, judges), left_of_run)
    graph.add_node("root", root, input_schema=QStarRootView, trace_policy=TRACE)
    graph.add_node(
        "select",
        Phase("select", select),
        input_schema=SelectView,
        destinations=(
            "propose_step",
            "answer" if verifier is None else "verify_by_completion",
            *(("human_gate",) if gated else ()),
        ),
        trace_policy=TRACE,
    )
    graph.add_node("propose_step", propose_step, input_schema=WorkView, trace_policy=TRACE)
    graph.add_node("score_with_q", score_with_q, input_schema=WorkView, trace_policy=TRACE)
    graph.add_node("answer", answer, input_schema=AnswerView, trace_policy=TRACE)
    if gated:
        graph.add_node(
            "human_gate",
            make_human_gate(_gate(policy, task, settings), settings.interrupt),
            input_schema=GateView,
            destinations=("select", "answer"),
            trace_policy=TRACE,
        )
    if verifier is not None:
        graph.add_node(
            "verify_by_completion",
            Phase(
                "verify_by_completion",
                make_verify_collected(verifier, task, settings, verifier_task),
                left_of_run,
            ),
            input_schema=AnswerView,
            trace_policy=TRACE,
        )
        graph.add_edge("verify_by_completion", before_answer)
    graph.add_edge(START, "root")
    graph.add_edge("root", "select")
    graph.add_edge("propose_step", "score_with_q")
    graph.add_edge("score_with_q", "select")
    graph.add_edge("answer", END)
    return graph


def _gate(policy: Policy, task: Task, settings: QStarSettings) -> Gate:
    """What a person is asked about, and what comes of it."""
    return Gate(
        waiting=lambda view: unfinished(view["nodes"], view["stats"]),
        chosen=lambda view: (
            find(view["nodes"], view["stats"], view["collected"], task, settings).chosen
        ),
        follow=make_follow(policy, task),
    )


def part_names(
    policy: Policy,
    q_model: StepScorer | None,
    utility: StepScorer | None,
    task: Task,
    checks: StepChecks,
    *,
    verifier: Policy | None,
    retriever: Runnable[str, Any] | None = None,
) -> dict[str, str | None]:
    """The names of the parts of a machine, as they are stored with a run."""
    names = {
        "policy": policy.name,
        "q_model": None if q_model is None else q_model.name,
        "utility": None if utility is None else utility.name,
        "task": task.name,
        "prompts": task.prompts,
        "checks": ", ".join(checks.names),
        "verifier": None if verifier is None else verifier.name,
    }
    return names if retriever is None else names | {"retriever": retriever.get_name()}


def verifier_of(verifier: Policy | None, policy: Policy, settings: QStarSettings) -> Policy | None:
    """Who completes what was collected; None where `verify` asks for nobody.

    Raises:
        SettingsError: There is a verifier that nobody asks for.
    """
    if settings.verify == "after":
        return policy if verifier is None else verifier
    if verifier is not None:
        raise SettingsError("there is a verifier, but verify is 'never'; set verify='after'")
    return None


def superstep_limit(settings: QStarSettings, written: int = 0) -> int:
    """The `recursion_limit` under which a search with these settings never fails.

    A pop costs at most three supersteps, and a state that needs no approval one more
    where a person is asked; the rest is root, the last select, the verification, answer, and
    the round that a resumed run spends on handing work out again.

    Args:
        settings: Of the search.
        written: Steps that a person writes as it goes on, each of which is popped.
    """
    if settings.max_pops is None:
        return NO_LIMIT
    return 3 * (settings.max_pops + written) + 9
