"""rStar as a state machine: root -> select -> five actions -> backup -> select ... -> answer.

Monte Carlo tree search over five actions (arXiv 2408.06195): a rollout descends
by UCT to a node that has no children, all legal actions give it theirs at once,
and the rollout goes on at random until a solution ends. What that earns is added
to the nodes it came by. A second model then completes candidates from which the
end is hidden; `verify_by_completion` may also run during the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import Runnable
from langgraph.graph import END, START, StateGraph

from langchain_qstar.actions import forms_of
from langchain_qstar.checks.running import StepChecks, resolve_checks
from langchain_qstar.errors import SettingsError
from langchain_qstar.nodes.budgets import left_of_run
from langchain_qstar.nodes.human_gate import Gate, make_human_gate
from langchain_qstar.nodes.mutual.outcome import outcome
from langchain_qstar.nodes.mutual.verify_by_completion import make_verify_by_completion
from langchain_qstar.nodes.phase import Allows, Beat, Phase, without_limit
from langchain_qstar.nodes.retrieving import Retrieval, retriever_of
from langchain_qstar.nodes.rstar.answer import make_answer
from langchain_qstar.nodes.rstar.backup import make_backup
from langchain_qstar.nodes.rstar.descent import Choose, seeded_choice
from langchain_qstar.nodes.rstar.finish import make_finish
from langchain_qstar.nodes.rstar.intervention import make_follow
from langchain_qstar.nodes.rstar.parts import Parts
from langchain_qstar.nodes.rstar.propose_step import make_propose_step
from langchain_qstar.nodes.rstar.re_answer import make_re_answer
from langchain_qstar.nodes.rstar.recording import shown
from langchain_qstar.nodes.rstar.rephrase import make_rephrase
from langchain_qstar.nodes.rstar.retrieve import make_retrieve
from langchain_qstar.nodes.rstar.root import make_root
from langchain_qstar.nodes.rstar.select import before_answer, make_select, waiting_in
from langchain_qstar.nodes.rstar.sharing import left_of_round, make_allows
from langchain_qstar.nodes.rstar.subquestion import make_subquestion
from langchain_qstar.nodes.tracing import TRACE
from langchain_qstar.protocols import Action, Policy, StepCheck, StepScorer, Task
from langchain_qstar.settings.rstar import ACTIONS, EVERY_ACTION, RStarSettings
from langchain_qstar.state.channels import SearchInput, SearchOutput
from langchain_qstar.state.rstar import (
    ActionView,
    BackupView,
    EndedView,
    GateView,
    RStarRootView,
    RStarState,
    SelectView,
)


def create_rstar_graph(
    policy: Policy,
    verifier: Policy | None = None,
    q_model: StepScorer | None = None,
    *,
    task: Task,
    settings: RStarSettings | None = None,
    checks: Sequence[str | StepCheck] | None = None,
    judge: StepScorer | None = None,
    choose: Choose = seeded_choice,
    verifier_task: Task | None = None,
    retriever: Runnable[str, Any] | None = None,
    context_schema: type[Any] | None = None,
) -> StateGraph[RStarState, Any, SearchInput, SearchOutput]:
    """The machine, not compiled, for sub-graphs, servers and Studio.

    It reads `question`, `images`, `seed` and `budget` and ends with `answer`, `stopped`
    and `solution` (a `Solution` as JSON types). Compiled by hand, give it a
    `recursion_limit` (see `rstar_superstep_limit`); `RStarChain` does.

    Args:
        policy: Writes the steps.
        verifier: Completes candidates; None is the policy itself.
        q_model: Q(state, step) in [0, 1], for the settings `prior` and `reward`.
        task: How the question is prompted, asked about, answered and compared;
            `tasks.fit_rstar_task` makes one fit the policy.
        settings: Settings of the search; defaults are those of `RStarSettings`.
        checks: What judges the steps, names or functions; None is the task's own.
        judge: Values candidates, for the selection `self_verification`.
        choose: Makes the random choices; the default is a function of the seed.
        verifier_task: How the verifier is asked; None is as the policy is.
        retriever: Finds passages, where the setting `actions` names `retrieve`: any
            retriever of LangChain, or another Runnable from a text to documents.
        context_schema: What a server shows of the context it takes; no node reads one.

    Returns:
        A `StateGraph`; `.compile(checkpointer=...)` makes it runnable.

    Raises:
        SettingsError: A setting needs a Q-value model, a judge or a retriever and there is
            none.
    """
    settings = settings or RStarSettings()
    if q_model is None and "q_model" in {settings.prior, settings.reward}:
        raise SettingsError("prior or reward is 'q_model', but there is none; pass q_model=")
    if judge is None and settings.selection == "self_verification":
        raise SettingsError("selection is 'self_verification', but there is no judge; pass judge=")
    verifier = verifier or policy
    retriever = retriever_of(retriever, settings.actions)
    parts = parts_of(policy, task, settings, retriever)
    judges = resolve_checks(checks, task)
    names = rstar_part_names(policy, verifier, q_model, task, judges, retriever=retriever)
    graph: StateGraph[RStarState, Any, SearchInput, SearchOutput] = StateGraph(
        RStarState,
        context_schema=context_schema,
        input_schema=SearchInput,
        output_schema=SearchOutput,
    )

    actions = ACTIONS if parts.retrieval is None else EVERY_ACTION

    def add(
        name: str, beat: Beat, view: Any, allows: Allows = without_limit, **options: Any
    ) -> None:
        node = Phase(name, beat, allows)
        graph.add_node(name, node, input_schema=view, trace_policy=TRACE, **options)

    def act(name: Action, beat: Beat) -> None:
        add(name, beat, ActionView, make_allows(parts, name))

    gated = ("human_gate",) if settings.interrupt else ()
    add("root", make_root(parts, names, verifier), RStarRootView)
    add(
        "select",
        make_select(parts.actions, choose),
        SelectView,
        destinations=(*actions, "backup", "verify_by_completion", "answer", *gated),
    )
    act("propose_step", make_propose_step(parts))
    act("finish", make_finish(parts))
    act("subquestion", make_subquestion(parts))
    act("re_answer", make_re_answer(parts))
    act("rephrase", make_rephrase(parts))
    if parts.retrieval is not None:
        act("retrieve", make_retrieve(parts, parts.retrieval))
    add("backup", make_backup(parts, q_model, judges, choose), BackupView, left_of_round)
    verify = make_verify_by_completion(verifier, task, settings, judge, verifier_task)
    add("verify_by_completion", verify, EndedView, left_of_run)
    add("answer", make_answer(parts, judges), EndedView, left_of_run)
    if gated:
        graph.add_node(
            "human_gate",
            make_human_gate(_gate(parts), settings.interrupt),
            input_schema=GateView,
            destinations=("select", "answer"),
            trace_policy=TRACE,
        )
    graph.add_edge(START, "root")
    graph.add_edge("root", "select")
    for action in actions:
        graph.add_edge(action, "backup")
    graph.add_edge("backup", "select")
    last = before_answer(settings)

    def after_verification(view: EndedView) -> str:
        return last if view["stopped"] else "select"

    graph.add_conditional_edges("verify_by_completion", after_verification, ["select", last])
    graph.add_edge("answer", END)
    return graph


def parts_of(
    policy: Policy, task: Task, settings: RStarSettings, retriever: Runnable[str, Any] | None
) -> Parts:
    """What the nodes of a machine have in common; the same places for the same actions."""
    retrieval = None
    if retriever is not None:
        most, tokens = settings.max_depth, settings.passage_tokens
        retrieval = Retrieval(retriever, policy, task.stop, most, tokens)
    return Parts(policy, task, forms_of(task), settings, retrieval=retrieval)


def _gate(parts: Parts) -> Gate:
    """What a person is asked about, and what comes of it."""

    def chosen(view: Mapping[str, Any]) -> str | None:
        nodes, stats = view["nodes"], view["stats"]
        return outcome(nodes, stats, view["ended"], parts.task, parts.settings).chosen

    return Gate(
        waiting=lambda view: waiting_in(view["work"]),
        chosen=chosen,
        follow=make_follow(parts),
        shown=shown,
    )


def prompts_of(task: Task) -> str:
    """What results say of the prompts: those of the actions, where these have some."""
    return str(getattr(task.forms, "prompts", "") or task.prompts)


def rstar_part_names(
    policy: Policy,
    verifier: Policy,
    q_model: StepScorer | None,
    task: Task,
    checks: StepChecks,
    *,
    retriever: Runnable[str, Any] | None = None,
) -> dict[str, str | None]:
    """The names of the parts of a machine, as they are stored with a run."""
    names = {
        "policy": policy.name,
        "verifier": verifier.name,
        "q_model": None if q_model is None else q_model.name,
        "task": task.name,
        "prompts": prompts_of(task),
        "checks": ", ".join(checks.names),
    }
    return names if retriever is None else names | {"retriever": retriever.get_name()}


def rstar_superstep_limit(settings: RStarSettings, written: int = 0) -> int:
    """The `recursion_limit` under which a search with these settings never fails.

    A rollout costs at most three supersteps a level and three more to end and be verified;
    the rest is root, the last select, the verification at the end, a question to a person
    with nothing to ask, and answer.

    Args:
        settings: Of the search.
        written: Steps that a person writes as it goes on, each of which gets a rollout.
    """
    return (settings.num_rollouts + written) * (3 * settings.max_depth + 6) + 10
