"""What a thread holds decides what a call does; no search is lost, none begins again unseen."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

from langchain_qstar.errors import SettingsError, ThreadError
from langchain_qstar.models.scripted import ScriptedPolicy

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}
WRITES: dict[str, str] = {"qstar": "score_with_q", "rstar": "backup"}
"""A node of each method that may write nodes of the tree."""


def interrupted_by_a_kill(make: Any, mortal: Any, killed: Any, saver: Any, **settings: Any) -> Any:
    policy = mortal(3)
    with pytest.raises(killed):
        make(policy, saver, **settings).invoke("q", THREAD)
    return policy


def in_flight(policy: Any, calls: int = 4, superstep: int = 1) -> Counter[str]:
    """What a policy was asked in the last calls, those of a superstep, before it was killed."""
    last = policy.calls[max(0, calls - superstep) : calls]
    return Counter(request.state.text for batch in last for request in batch)


def test_the_thread_of_a_killed_call_is_finished_by_resume_without_the_question(
    make, fresh, mortal, killed, saver, grown, repeated
):
    policy, reference = interrupted_by_a_kill(make, mortal, killed, saver), fresh()
    resumed = make(policy, saver).resume("t")
    assert grown(resumed) == grown(make(reference).invoke("q"))
    assert repeated(policy, reference) == in_flight(policy)


def test_none_is_the_question_that_the_thread_holds(make, mortal, killed, saver, grown):
    policy = interrupted_by_a_kill(make, mortal, killed, saver)
    assert grown(make(policy, saver).invoke(None, THREAD)) == grown(make().invoke("q"))


@pytest.mark.parametrize(
    ("question", "overrides", "says"),
    [
        ("r", {}, "question='q' (here 'r')"),
        ("q", {"seed": 1}, "seed=0 (here 1)"),
        ("q", {"max_tokens": 9}, "max_tokens={} (here 9)"),
    ],
)
def test_another_call_in_the_thread_of_an_unfinished_search_is_refused_and_loses_nothing(
    make, mortal, killed, saver, grown, question, overrides, says
):
    policy = interrupted_by_a_kill(make, mortal, killed, saver)
    calls = len(policy.calls)
    with pytest.raises(ThreadError) as refused:
        make(policy, saver).invoke(question, THREAD, **overrides)
    assert says.format(make().settings.max_tokens) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(policy.calls) == calls
    assert grown(make(policy, saver).resume("t")) == grown(make().invoke("q"))


def test_other_settings_are_refused_by_resume_too(make, mortal, killed, saver):
    interrupted_by_a_kill(make, mortal, killed, saver)
    with pytest.raises(ThreadError, match=rf"max_depth={make().settings.max_depth} \(here 9\)"):
        make(None, saver, max_depth=9).resume("t")


def test_another_model_is_refused(make, mortal, killed, saver):
    interrupted_by_a_kill(make, mortal, killed, saver)
    with pytest.raises(ThreadError, match="policy='scripted'"):
        make(ScriptedPolicy({}, name="other"), saver).invoke("q", THREAD)


def test_a_finished_search_is_given_again_from_the_store(make, fresh, saver, grown):
    policy = fresh()
    chain = make(policy, saver)
    first = chain.invoke("q", THREAD)
    calls = len(policy.calls)
    assert grown(chain.invoke("q", THREAD)) == grown(first)
    assert grown(chain.resume("t")) == grown(first)
    assert grown(list(chain.stream("q", THREAD))[-1]) == grown(first)
    assert len(policy.calls) == calls


def test_after_a_finished_search_another_question_begins_another(make, saver, grown):
    chain = make(None, saver)
    chain.invoke("q", THREAD)
    assert grown(chain.invoke("r", THREAD, seed=2)) == grown(make().invoke("r", seed=2))


def test_a_question_that_could_not_be_asked_leaves_a_thread_as_usable_as_before(make, saver):
    chain = make(None, saver)
    with pytest.raises(ValueError, match="empty"):
        chain.invoke(" ", THREAD)
    assert chain.invoke("q", THREAD).answer
    with pytest.raises(ValueError, match="empty"):
        chain.invoke(" ", THREAD)
    assert chain.invoke("r", THREAD).answer


def test_a_search_of_another_version_is_refused(make, mortal, killed, saver):
    interrupted_by_a_kill(make, mortal, killed, saver)
    chain = make(None, saver)
    root = chain.graph.get_state(THREAD).values["nodes"]["0"]
    old = {**root, "run": {key: each for key, each in root["run"].items() if key != "layout"}}
    writer = WRITES[chain.invoke("q", {"configurable": {"thread_id": "u"}}).method]
    chain.graph.update_state(THREAD, {"nodes": {"0": old}}, as_node=writer)
    with pytest.raises(ThreadError, match="another machine or version"):
        chain.invoke("q", THREAD)
    with pytest.raises(ThreadError, match="another machine or version"):
        chain.resume("t")


@pytest.mark.slow
@pytest.mark.parametrize("interrupt", [(), ("failed_check",)])
def test_killed_before_anything_that_is_stored_a_search_repeats_what_was_in_flight_at_most(
    make, fresh, grown, mortal_store, repeated, interrupt
):
    reference = fresh()
    whole = grown(make(reference).invoke("q"))
    # Looking ahead samples a state and then its children.
    superstep = 2 if getattr(make().settings, "h_mode", "") == "lookahead" else 1
    dies_at, survived = 0, False
    while not survived:
        dies_at += 1
        policy, store = fresh(), mortal_store(dies_at)
        chain = make(policy, store, interrupt=interrupt)
        try:
            survived = bool(chain.invoke("q", THREAD))
        except mortal_store.killed:
            calls = len(policy.calls)
            assert grown(chain.invoke("q", THREAD)) == whole
            again = repeated(policy, reference)
            assert again <= in_flight(policy, calls, superstep)
    assert dies_at > 20


class Letters(TypedDict):
    letters: str


def test_the_thread_of_another_graph_is_refused_and_left_alone(make, saver):
    builder = StateGraph(Letters)
    builder.add_node("write", lambda state: {"letters": state["letters"] + "!"})
    builder.add_edge(START, "write")
    other = builder.compile(checkpointer=saver)
    other.invoke({"letters": "a"}, THREAD)
    with pytest.raises(ThreadError, match="another graph"):
        make(None, saver).invoke("q", THREAD)
    with pytest.raises(ThreadError, match="no search"):
        make(None, saver).resume("t")
    assert other.get_state(THREAD).values == {"letters": "a!"}


def test_a_thread_that_holds_nothing_cannot_be_resumed(make, saver):
    with pytest.raises(ThreadError, match="'t' holds no search"):
        make(None, saver).resume("t")


def test_without_a_checkpointer_there_is_nothing_to_resume_or_forget(make):
    with pytest.raises(ThreadError, match="checkpointer"):
        make().resume("t", "approve")
    with pytest.raises(SettingsError, match="checkpointer"):
        make().forget("t")


def test_resume_takes_no_budget_of_its_own(make, mortal, killed, saver):
    interrupted_by_a_kill(make, mortal, killed, saver)
    with pytest.raises(SettingsError, match="leave out max_tokens"):
        make(None, saver).invoke(None, THREAD, max_tokens=3)


async def test_async_goes_on_too(make, grown):
    memory = InMemorySaver()
    chain = make(None, memory)
    first = await chain.ainvoke("q", THREAD)
    assert grown(await chain.aresume("t")) == grown(first)
    with pytest.raises(ThreadError):
        await chain.aresume("u")


# --- time travel


def test_from_every_earlier_point_the_search_grows_the_same_tree(make, saver, grown):
    chain = make(None, saver)
    whole = grown(chain.invoke("q", THREAD))
    points = [each for each in chain.graph.get_state_history(THREAD) if each.values.get("nodes")]
    assert len(points) > 10
    for point in points:
        assert grown(make(None, saver).resume(point.config)) == whole


def test_an_earlier_point_has_the_tree_of_that_time(make, saver):
    chain = make(None, saver)
    chain.invoke("q", THREAD)
    sizes = [len(each.values.get("nodes", {})) for each in chain.graph.get_state_history(THREAD)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > next(size for size in reversed(sizes) if size) == 1


def test_from_an_earlier_point_without_a_step_the_search_takes_another_way(make, saver, grown):
    chain = make(None, saver)
    whole = chain.invoke("q", THREAD)
    history = list(chain.graph.get_state_history(THREAD))
    early = next(p for p in reversed(history) if len(p.values.get("nodes", {})) > 4)
    forbidden = whole.steps[0].text
    step = next(each.id for each in whole.tree if each.depth == 1 and each.text == forbidden)
    forked = chain.resume(early.config, {"forbid": [step]})
    assert forked.steps[0].text != forbidden
    (closed,) = [node for node in forked.tree if node.id == step]
    assert closed.closed == "forbidden by a person"
    assert grown(chain.resume(history[0].config)) == grown(whole)  # the old end is still there


# --- budgets of a thread


def test_the_calls_of_a_thread_share_its_budget(make, saver):
    chain = make(None, saver, max_thread_completions=20, fallback=False)
    spent = chain.invoke("q", THREAD, max_completions=9).usage.completions
    assert 0 < spent <= 9
    # Of a call that found nothing to verify, the share for that is left to the next one.
    for question in ("r", "s", "t"):
        if spent < 20:
            solution = chain.invoke(question, THREAD)
            assert solution.stopped == "completions"
            spent += solution.usage.completions
    assert spent == 20
    with pytest.raises(ThreadError, match="spent its max_thread_completions of 20"):
        chain.invoke("u", THREAD)
    assert chain.invoke("s", {"configurable": {"thread_id": "u"}}).usage.completions


@pytest.mark.parametrize(
    ("budget", "stopped"), [("tokens", "tokens"), ("nodes", "nodes"), ("seconds", "seconds")]
)
def test_every_budget_may_be_the_threads(make, saver, budget, stopped):
    most = {"tokens": 5, "nodes": 5, "seconds": 1e-9}[budget]
    chain = make(None, saver, **{f"max_thread_{budget}": most})
    assert chain.invoke("q", THREAD).stopped == stopped
    with pytest.raises(ThreadError, match=f"max_thread_{budget}"):
        chain.invoke("r", THREAD)


def test_a_call_that_is_killed_and_resumed_spends_once(make, mortal, killed, saver):
    settings = {"max_thread_completions": 200}
    policy = interrupted_by_a_kill(make, mortal, killed, saver, **settings)
    whole = make(policy, saver, **settings).resume("t")
    chain = make(policy, saver, **settings)
    chain.invoke("r", THREAD)
    root = chain.graph.get_state(THREAD).values["nodes"]["0"]
    assert root["earlier"]["completions"] == whole.usage.completions
