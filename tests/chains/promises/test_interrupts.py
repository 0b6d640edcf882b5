"""A person in the loop of every machine: what is asked, and what a decision does and does not."""

from __future__ import annotations

from typing import TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from langchain_qstar.errors import DecisionError, SettingsError

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}
ALL = ("expand", "answer", "failed_check")


def test_approving_everything_grows_the_tree_of_a_search_that_asks_nothing(make, saver, grown):
    solution, questions = make(None, saver, interrupt=ALL).invoke("q", THREAD), []
    while solution.pending:
        questions.append(solution.pending.about)
        # Each time as in another process, which knows nothing but the store.
        solution = make(None, saver, interrupt=ALL).resume("t", "approve")
    assert grown(solution) == grown(make().invoke("q"))
    assert set(questions) == {"expand", "answer"}


async def test_without_blocking_it_is_the_same(make, grown):
    memory = InMemorySaver()
    solution = await make(None, memory, interrupt=ALL).ainvoke("q", THREAD)
    while solution.pending:
        solution = await make(None, memory, interrupt=ALL).aresume("t", "approve")
    assert grown(solution) == grown(make().invoke("q"))


def test_the_same_call_and_a_bare_resume_ask_the_same_again_and_call_no_model(make, fresh, saver):
    policy = fresh()
    chain = make(policy, saver, interrupt=ALL)
    first = chain.invoke("q", THREAD)
    calls = len(policy.calls)
    assert first.stopped == "interrupted"
    assert chain.invoke("q", THREAD).pending == chain.resume("t").pending == first.pending
    assert len(policy.calls) == calls


def test_a_stream_ends_with_what_is_asked_and_goes_on_with_the_reply(make, saver):
    chain = make(None, saver, interrupt=("expand",))
    asked = list(chain.stream("q", THREAD))[-1]
    assert asked.pending
    items = list(chain.stream(Command(resume="approve"), THREAD))
    assert isinstance(items[0], dict)
    assert items[-1].pending != asked.pending


def test_a_forbidden_step_is_closed_never_continued_and_in_no_answer(make, fresh, saver):
    policy = fresh()
    chain = make(policy, saver, interrupt=("expand",))
    step = chain.invoke("q", THREAD).pending.steps[0]
    solution = chain.resume("t", "forbid")
    asked_before = len(policy.calls)
    while solution.pending:
        assert step.id not in {each.id for each in solution.pending.steps}
        solution = chain.resume("t", "approve")
    (closed,) = [node for node in solution.tree if node.id == step.id]
    assert closed.closed == "forbidden by a person"
    # Looking ahead, its children are there already.
    below = [node for node in solution.tree if node.id.startswith(f"{step.id}.")]
    assert {node.closed for node in below} <= {"forbidden by a person"}
    assert all(node.id.count(".") == step.id.count(".") + 1 for node in below)
    assert step.text not in {each.text for each in solution.steps[:1]}
    assert len(policy.calls) > asked_before


def test_an_edited_step_takes_the_place_of_the_models(make, saver):
    chain = make(None, saver, interrupt=("expand",))
    step = chain.invoke("q", THREAD).pending.steps[0]
    solution = chain.resume("t", {"edit": {step.id: "f"}})
    while solution.pending:
        solution = chain.resume("t", "approve")
    (written,) = [node for node in solution.tree if node.replaces]
    assert (written.replaces, written.text) == (step.id, "f\n")
    (closed,) = [node for node in solution.tree if node.id == step.id]
    assert "in its place" in (closed.closed or "")


@pytest.mark.parametrize("decision", ["yes", {"forbid": ["0.9.9"]}, {"edit": {"0.0": " "}}, 7])
def test_a_decision_that_cannot_be_followed_changes_nothing(make, saver, grown, decision):
    chain = make(None, saver, interrupt=ALL)
    first = chain.invoke("q", THREAD)
    with pytest.raises(DecisionError) as refused:
        chain.resume("t", decision)
    assert "\n" not in str(refused.value)
    assert chain.resume("t").pending == first.pending
    solution = chain.resume("t", "approve")
    while solution.pending:
        solution = chain.resume("t", "approve")
    assert grown(solution) == grown(make().invoke("q"))


def test_to_ask_a_person_takes_a_checkpointer(make):
    with pytest.raises(SettingsError, match="needs a checkpointer"):
        make(None, None, interrupt=("expand",)).invoke("q")


class Outer(TypedDict, total=False):
    question: str
    answer: str | None


def test_inside_another_graph_that_graph_is_interrupted_and_resumed(make):
    inner = make(None, None, interrupt=("answer",))
    builder = StateGraph(Outer)
    builder.add_node("solve", lambda state: {"answer": inner.invoke(state["question"]).answer})
    builder.add_edge(START, "solve")
    outer = builder.compile(checkpointer=InMemorySaver())
    state = outer.invoke({"question": "q"}, THREAD)
    assert state["__interrupt__"][0].value["about"] == "answer"
    while "__interrupt__" in state:
        state = outer.invoke(Command(resume="approve"), THREAD)
    assert state["answer"] == make().invoke("q").answer
