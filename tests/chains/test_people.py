"""A person in the loop: what is asked, and what approving, editing and forbidding do."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from langchain_qstar.chains import QStarChain
from langchain_qstar.errors import DecisionError, SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Task

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}


def not_a(state: Any, step: str) -> bool | None:
    return False if step.strip() == "a" else None


TASK = Task(
    name="letters",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.split()[-1],
    is_terminal=lambda text: any(character.isdigit() for character in text),
)
SCRIPT = {
    "": ["a\n", "b\n"],
    "a\n": ["a1\n", "a2\n"],
    "b\n": ["b1\n", "b2\n"],
    "c\n": ["c1\n"],
}
VALUES = {"a": 0.2, "b": 0.9, "a1": 0.3, "a2": 0.1, "b1": 0.95, "b2": 0.85, "c": 0.5, "c1": 0.4}
ALL = ("expand", "answer", "failed_check")


def made(saver: Any, *interrupt: str, script: Any = SCRIPT, **options: Any) -> QStarChain:
    settings = {"num_trajectories": 1, "interrupt": interrupt, **options.pop("settings", {})}
    return QStarChain(
        ScriptedPolicy(script),
        ScriptedScorer(VALUES),
        task=TASK,
        settings=settings,
        checkpointer=saver,
        **options,
    )


def asked(solution: Any) -> tuple[str, list[str]] | None:
    """What a search asks: about what, and the steps."""
    pending = solution.pending
    return pending and (pending.about, [step.text for step in pending.steps])


def test_a_search_that_asks_returns_what_it_asks(saver):
    solution = made(saver, "expand").invoke("q", THREAD)
    assert (solution.stopped, solution.answer) == ("interrupted", None)
    step = solution.pending.steps[0]
    assert (solution.pending.about, step.id, step.text, step.f) == ("expand", "0.1", "b\n", 0.9)
    assert step.before == ""
    assert len(solution.tree) == 3


@pytest.mark.parametrize("h_mode", ["edge", "lookahead"])
@pytest.mark.parametrize("batch_pops", [1, 2])
def test_approving_everything_grows_the_tree_of_a_search_that_asks_nothing(
    make, saver, grown, h_mode, batch_pops
):
    settings: dict[str, Any] = {"h_mode": h_mode, "batch_pops": batch_pops}
    gated = make(None, saver, interrupt=ALL, **settings)
    solution, questions = gated.invoke("q", THREAD), []
    while solution.pending:
        questions.append(solution.pending.about)
        # each time as in another process, which knows nothing but the store
        solution = make(None, saver, interrupt=ALL, **settings).resume("t", "approve")
    plain = make(None, None, **settings).invoke("q")
    assert grown(solution) == grown(plain)
    assert set(questions) == {"expand", "answer"}


def test_the_same_call_asks_the_same_again(saver):
    qstar = made(saver, "expand")
    first = qstar.invoke("q", THREAD)
    assert qstar.invoke("q", THREAD).pending == first.pending
    assert qstar.resume("t").pending == first.pending


def test_a_forbidden_step_is_closed_and_the_search_takes_another(saver, asked_of):
    qstar = made(saver, "expand")
    assert asked(qstar.invoke("q", THREAD)) == ("expand", ["b\n"])
    assert asked(qstar.resume("t", "forbid")) == ("expand", ["a\n"])
    solution = qstar.resume("t", "approve")
    assert solution.answer == "a1"
    (forbidden,) = [node for node in solution.tree if node.text == "b\n"]
    assert forbidden.closed == "forbidden by a person"
    assert "b\n" not in asked_of(qstar.policy)


def test_an_edited_step_is_expanded_next_in_place_of_the_models(saver):
    qstar = made(saver, "expand")
    qstar.invoke("q", THREAD)
    solution = qstar.resume("t", {"edit": "c"})  # the line's end is added
    assert solution.answer == "c1"
    written = solution.tree[3]
    assert (written.text, written.replaces, written.q, written.f) == ("c\n", "0.1", 0.5, 0.5)
    assert solution.tree[2].closed == "a person wrote 0.2 in its place"
    assert written.popped == 2


def test_of_several_steps_some_are_forbidden_some_edited_and_the_rest_approved(saver):
    script = SCRIPT | {"": ["a\n", "b\n", "d\n"], "d\n": ["d1\n"]}
    qstar = made(saver, "expand", script=script, settings={"batch_pops": 3, "num_trajectories": 9})
    asked_now = qstar.invoke("q", THREAD).pending
    ids = {step.text.strip(): step.id for step in asked_now.steps}
    assert set(ids) == {"a", "b", "d"}
    solution = qstar.resume("t", {"forbid": [ids["b"]], "edit": {ids["d"]: "c\n"}})
    assert {node.text for node in solution.tree if node.depth == 2} == {"a1\n", "a2\n", "c1\n"}


def test_a_failed_check_may_be_overruled(saver):
    qstar = made(saver, "failed_check", checks=[not_a])
    solution = qstar.invoke("q", THREAD)
    assert asked(solution) == ("failed_check", ["a\n"])
    assert solution.pending.steps[0].checks[0].verdict == "failed"
    approved = qstar.resume("t", {"edit": {}})  # nothing named: approved
    node = next(node for node in approved.tree if node.text == "a\n")
    assert (node.closed, node.checks[0].verdict) == (None, "failed")


@pytest.mark.parametrize(("decision", "texts"), [("approve", {"a1\n", "a2\n"}), ("forbid", set())])
def test_below_a_step_that_failed_a_check_the_search_goes_on_only_if_a_person_says_so(
    saver, decision, texts
):
    qstar = made(saver, "failed_check", checks=[not_a], settings={"num_trajectories": 9})
    qstar.invoke("q", THREAD)
    tree = qstar.resume("t", decision).tree
    assert {node.text for node in tree if node.text.startswith("a") and node.depth == 2} == texts


def test_a_person_may_mend_a_failed_step(saver):
    qstar = made(saver, "failed_check", checks=[not_a])
    qstar.invoke("q", THREAD)
    tree = qstar.resume("t", {"edit": "c"}).tree
    assert [(node.text, node.popped) for node in tree if node.replaces] == [("c\n", 1)]


def test_a_forbidden_answer_is_not_given_and_the_search_goes_on(saver):
    qstar = made(saver, "answer")
    answers = [qstar.invoke("q", THREAD).pending.steps[0].answer]
    answers += [qstar.resume("t", "forbid").pending.steps[0].answer for _ in range(2)]
    assert answers == ["b1", "b2", "a1"]
    assert qstar.resume("t", "approve").answer == "a1"


def test_an_edited_answer_is_the_answer(saver):
    qstar = made(saver, "answer", settings={"num_trajectories": 2})
    qstar.invoke("q", THREAD)
    solution = qstar.resume("t", {"edit": "b7\n"})
    assert (solution.answer, solution.pending) == ("b7", None)
    assert solution.steps[-1].q == 0.0


def test_an_edited_answer_counts_after_the_budget_is_spent(saver):
    qstar = made(saver, "answer", settings={"num_trajectories": 4, "max_pops": 3})
    assert qstar.invoke("q", THREAD).pending.about == "answer"
    assert qstar.resume("t", {"edit": "b7\n"}).answer == "b7"


def test_a_search_whose_every_answer_is_forbidden_ends_without_one(saver):
    qstar = made(saver, "answer", settings={"fallback": False})
    solution = qstar.invoke("q", THREAD)
    for _ in range(4):
        assert solution.pending
        solution = qstar.resume("t", "forbid")
    assert (solution.answer, solution.stopped, solution.pending) == (None, "exhausted", None)


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        ("yes", "'yes' is not understood"),
        ({"forbid": ["0.9"]}, "no step '0.9'"),
        ({"edit": {"0.1": " "}}, "the text for step 0.1 is empty"),
        ({"forbid": "0.1"}, "not understood"),
        ({"approve": ["0.1"]}, "not understood"),
        (7, "not understood"),
    ],
)
def test_a_decision_that_cannot_be_followed_changes_nothing(saver, decision, says):
    qstar = made(saver, "expand")
    first = qstar.invoke("q", THREAD)
    with pytest.raises(DecisionError) as refused:
        qstar.resume("t", decision)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert qstar.resume("t").pending == first.pending
    assert qstar.resume("t", "approve").answer == "b1"


def test_an_earlier_question_may_be_decided_otherwise(saver):
    qstar = made(saver, "expand")
    qstar.invoke("q", THREAD)
    assert qstar.resume("t", "approve").answer == "b1"
    (asking, *_) = [p for p in qstar.graph.get_state_history(THREAD) if p.next == ("human_gate",)]
    assert asked(qstar.resume(asking.config, "forbid")) == ("expand", ["a\n"])
    assert qstar.resume("t", "approve").answer == "a1"


def test_of_a_search_that_asks_nothing_steps_may_be_forbidden_by_name(saver):
    qstar = made(saver)
    solution = qstar.invoke("q", THREAD)
    assert solution.answer == "b1"
    with pytest.raises(DecisionError, match="name the steps"):
        qstar.resume("t", "forbid")
    assert qstar.resume("t", {"forbid": ["0.1"]}).answer == "a1"  # with all below it
    assert qstar.resume("t", {"edit": {"0.0": "c"}}).answer == "c1"


def test_to_ask_a_person_takes_a_checkpointer():
    with pytest.raises(SettingsError, match="needs a checkpointer"):
        made(None, "expand").invoke("q")


async def test_async_asks_and_goes_on(grown):
    qstar = made(InMemorySaver(), "expand", "answer")
    first = await qstar.ainvoke("q", THREAD)
    assert asked(first) == ("expand", ["b\n"])
    assert asked(await qstar.aresume("t", "approve")) == ("answer", ["b1\n"])
    items = [item async for item in qstar.astream(Command(resume="approve"), THREAD)]
    assert items[-1].answer == "b1"


def test_a_stream_ends_with_what_is_asked(saver):
    qstar = made(saver, "expand")
    assert asked(list(qstar.stream("q", THREAD))[-1]) == ("expand", ["b\n"])
    items = list(qstar.stream(Command(resume="approve"), THREAD))
    assert items[0]["type"] == "proposed"
    assert items[-1].answer == "b1"


class Outer(TypedDict, total=False):
    question: str
    answer: str | None


def test_inside_another_graph_that_graph_is_interrupted_and_resumed():
    inner = made(None, "expand")
    builder = StateGraph(Outer)
    builder.add_node("solve", lambda state: {"answer": inner.invoke(state["question"]).answer})
    builder.add_edge(START, "solve")
    outer = builder.compile(checkpointer=InMemorySaver())
    asking = outer.invoke({"question": "q"}, THREAD)["__interrupt__"][0].value
    assert [step["text"] for step in asking["steps"]] == ["b\n"]
    asking = outer.invoke(Command(resume="forbid"), THREAD)["__interrupt__"][0].value
    assert [step["text"] for step in asking["steps"]] == ["a\n"]
    assert outer.invoke(Command(resume="approve"), THREAD)["answer"] == "a1"


def test_as_a_node_of_another_graph_it_asks_too():
    builder = StateGraph(Outer)
    builder.add_node("solve", made(None, "answer").graph)
    builder.add_edge(START, "solve")
    outer = builder.compile(checkpointer=InMemorySaver())
    assert outer.invoke({"question": "q"}, THREAD)["__interrupt__"]
    assert outer.invoke(Command(resume="forbid"), THREAD)["__interrupt__"]
    assert outer.invoke(Command(resume="approve"), THREAD)["answer"] == "b2"


@pytest.mark.nano
def test_with_the_bundled_model_a_persons_line_is_continued(saver):
    settings = {"interrupt": ("expand",), "num_trajectories": 1, "failed_check": "keep"}
    qstar = QStarChain(settings=settings, checkpointer=saver)
    solution = qstar.invoke("Tom has 3 apples. Ann has 5 apples. How many have they?", THREAD)
    first = solution.pending.steps[0]
    solution = qstar.resume("t", {"edit": {first.id: "3 + 5 = 8"}})
    written = next(node for node in solution.tree if node.replaces)
    assert written.text == "3 + 5 = 8\n"
    assert any(node.parent == written.id for node in solution.tree)
    assert written.q is not None
