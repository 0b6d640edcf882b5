"""A person in rStar's loop: what is asked, and what decisions do to the tree and its statistics.

What both machines share is tested in `test_people.py` too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from langchain_qstar.chains import RStarChain
from langchain_qstar.errors import DecisionError
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.protocols import Task
from langchain_qstar.tree import is_closed, lineage

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}
TASK = Task(
    name="letters",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.split()[-1] if any(map(str.isdigit, text)) else None,
    is_terminal=lambda text: any(character.isdigit() for character in text),
    stop=("\n",),
)
SCRIPT = {
    "": ["a\n", "b\n"],
    "a\n": ["a1\n", "a2\n"],
    "b\n": ["b1\n", "b1\n"],
    "c\n": ["c1\n", "c1\n"],
}
ALL = ("expand", "answer", "failed_check")
SMALL = {"actions": ("propose_step",), "num_steps": 2, "num_rollouts": 4, "verify": "never"}


@pytest.fixture
def saver() -> InMemorySaver:
    """What is stored is read back from sqlite where it matters (`file`)."""
    return InMemorySaver()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Any]:
    sqlite = pytest.importorskip("langgraph.checkpoint.sqlite")
    with sqlite.SqliteSaver.from_conn_string(str(tmp_path / "threads.sqlite")) as stored:
        yield stored


def not_a(state: Any, step: str) -> bool | None:
    return False if step.strip() == "a" else None


def made(saver: Any, *interrupt: str, script: Any = SCRIPT, **options: Any) -> RStarChain:
    settings = {**SMALL, "interrupt": interrupt, **options.pop("settings", {})}
    policy = options.pop("policy", None) or ScriptedPolicy(script)
    given = {"task": TASK, "checks": [], **options}
    return RStarChain(policy, settings=settings, checkpointer=saver, **given)


def asked(solution: Any) -> tuple[str, list[str]] | None:
    """What a search asks: about what, and the steps."""
    pending = solution.pending
    return pending and (pending.about, [step.text for step in pending.steps])


def named(solution: Any, text: str) -> Any:
    return next(node for node in solution.tree if node.text == text)


def adds_up(chain: RStarChain, config: RunnableConfig = THREAD) -> bool:
    """Whether every open node has the visits and rewards of the rollouts that count."""
    values = chain.graph.get_state(config).values
    nodes, stats = values["nodes"], values["stats"]
    visits: Counter[str] = Counter()
    value: dict[str, float] = defaultdict(float)
    for tip in values["ended"]:
        if not is_closed(stats.get(tip, {})):
            visits.update(lineage(tip))
            for each in lineage(tip):
                value[each] += stats[tip].get("reward") or 0.0
    open_ones = [each for each in nodes if not is_closed(stats.get(each, {}))]
    assert {each: stats.get(each, {}).get("visits", 0) for each in open_ones} == {
        each: visits[each] for each in open_ones
    }
    assert [stats.get(each, {}).get("value", 0.0) for each in open_ones] == pytest.approx(
        [value[each] for each in open_ones]
    )
    return True


def test_a_search_that_asks_returns_what_it_asks_before_anything_is_expanded(saver):
    rstar = made(saver, "expand")
    solution = rstar.invoke("q", THREAD)
    about, (text,) = asked(solution) or ("", [""])
    assert (about, solution.stopped, solution.answer) == ("expand", "interrupted", None)
    assert text in {"a\n", "b\n"}
    assert [node.text for node in solution.tree] == ["", "a\n", "b\n"]
    assert solution.usage.calls == 1
    assert rstar.resume("t").pending == rstar.invoke("q", THREAD).pending == solution.pending


@pytest.mark.parametrize("verify", ["never", "during", "after"])
@pytest.mark.parametrize("rollouts_in_flight", [1, 3])
def test_approving_everything_grows_the_tree_of_a_search_that_asks_nothing(
    file, grown, verify, rollouts_in_flight
):
    settings = {
        "verify": verify,
        "rollouts_in_flight": rollouts_in_flight,
        "num_rollouts": 6,
        "actions": ("propose_step", "finish"),
        "num_last_votes": 3,
    }
    solution, questions = made(file, *ALL, settings=settings).invoke("q", THREAD), []
    while solution.pending:
        questions.append(solution.pending.about)
        # each time as in another process, which knows nothing but the store
        solution = made(file, *ALL, settings=settings).resume("t", "approve")
    assert grown(solution) == grown(made(None, settings=settings).invoke("q"))
    assert set(questions) == {"expand", "answer"}


def test_a_forbidden_step_is_closed_and_the_rollout_takes_another(saver, asked_of):
    rstar = made(saver, "expand")
    _, (first,) = asked(rstar.invoke("q", THREAD)) or ("", [""])
    other = {"a\n": "b\n", "b\n": "a\n"}[first]
    assert asked(rstar.resume("t", "forbid")) == ("expand", [other])
    solution = rstar.resume("t", "approve")
    assert named(solution, first).closed == "forbidden by a person"
    assert named(solution, first).visits == 0
    assert first not in asked_of(rstar.policy)
    assert solution.tree[0].visits == 4
    assert adds_up(rstar)


def test_an_edited_step_is_expanded_next_in_place_of_the_models(saver, asked_of):
    rstar = made(saver, "expand")
    (step,) = rstar.invoke("q", THREAD).pending.steps
    solution = rstar.resume("t", {"edit": "c"})  # the line's end is added
    assert asked_of(rstar.policy)[:2] == ["", "c\n"]
    written = named(solution, "c\n")
    assert (written.replaces, written.closed, written.action) == (step.id, None, "propose_step")
    replaced = next(node for node in solution.tree if node.id == step.id)
    assert replaced.closed == f"a person wrote {written.id} in its place"
    assert adds_up(rstar)


def test_rollouts_through_a_step_that_is_forbidden_later_count_no_longer_and_are_made_again(saver):
    rstar = made(saver)
    before = rstar.invoke("q", THREAD)
    b = named(before, "b\n")
    assert b.visits > 0
    after = rstar.resume("t", {"forbid": [b.id]})
    assert after.answer in {"a1", "a2"}
    closed = named(after, "b\n")
    assert (closed.visits, closed.value) == (b.visits, b.value)  # as a record
    assert after.tree[0].visits == before.tree[0].visits == 4
    assert after.tree[0].value == pytest.approx(named(after, "a\n").value)
    assert {vote.answer for vote in after.votes} <= {"a1", "a2"}
    assert adds_up(rstar)


def test_what_a_person_wrote_earns_one_where_it_ends_a_solution_and_is_the_answer(saver):
    rstar = made(saver)
    step = rstar.invoke("q", THREAD).steps[-1]
    solution = rstar.resume("t", {"edit": {step.id: "d7"}})
    written = named(solution, "d7\n")
    assert (solution.answer, solution.steps[-1].id) == ("d7", written.id)
    assert (written.reward, written.visits > 0) == (1.0, True)
    assert adds_up(rstar)


@pytest.mark.parametrize("budget", [{"max_completions": 4}, {"max_nodes": 5}])
def test_what_a_person_wrote_is_looked_at_after_the_budget_is_spent(saver, budget):
    rstar = made(saver, "answer", checks=[not_a], settings={"num_rollouts": 50, **budget})
    solution = rstar.invoke("q", THREAD)
    assert solution.pending.about == "answer"
    edited = rstar.resume("t", {"edit": "d7"})
    assert (edited.answer, edited.pending) == ("d7", None)
    assert named(edited, "d7\n").checks
    assert edited.stopped == next(iter(budget)).removeprefix("max_")
    assert edited.usage.completions == solution.usage.completions


def test_a_forbidden_answer_is_not_given_and_another_is_asked_about(saver):
    rstar = made(saver, "answer", settings={"num_rollouts": 6})
    solution, answers = rstar.invoke("q", THREAD), []
    while solution.pending:
        answers.append(solution.pending.steps[0].answer)
        solution = rstar.resume("t", "forbid")
    # the twins b1, b1 read the same and are one question
    assert sorted(answers) == ["a1", "a2", "b1"]
    assert solution.stopped == "complete"
    assert adds_up(rstar)


def test_a_search_whose_every_answer_is_forbidden_ends_without_one(saver):
    rstar = made(saver, "answer", settings={"fallback": False})
    solution = rstar.invoke("q", THREAD)
    for _ in range(3):
        assert solution.pending
        solution = rstar.resume("t", "forbid")
    assert (solution.answer, solution.pending) == (None, None)


def test_a_completion_that_a_person_forbids_is_not_given_again(saver):
    script = {"": ["a\n"], "a\n": ["b\n"], "b\n": ["c\n"]}
    rstar = made(saver, script=script, settings={"max_depth": 1})
    solution = rstar.invoke("q", THREAD)
    (fallback,) = [node for node in solution.tree if node.action == "finish"]
    again = rstar.resume("t", {"forbid": [fallback.id]})
    assert fallback.id not in {step.id for step in again.steps}
    assert rstar.invoke("q", THREAD) == again  # from the store
    mended = rstar.resume("t", {"edit": {fallback.id: "d7"}})
    assert mended.answer == "d7"


@pytest.mark.parametrize(
    ("gates", "said", "answer"),
    [
        (("expand",), "approve", "a1"),
        (("expand",), "forbid", None),  # for the completion begins with the step
        (("expand", "answer"), "approve", None),  # for nobody would be asked about it
    ],
)
def test_without_an_answer_the_question_is_completed_unless_a_person_would_object(
    saver, gates, said, answer
):
    script = {"": ["a\n", "a\n"], "a\n": ["a1\n", "b\n"]}
    settings = {"max_depth": 2, "num_rollouts": 1, "reward": "self_consistency"}
    late = replace(TASK, is_terminal=lambda text: text.startswith("a\na1"))
    rstar = made(saver, *gates, script=script, task=late, settings=settings)
    solution = rstar.invoke("q", THREAD)
    while solution.pending:
        solution = rstar.resume("t", said)
    assert solution.answer == answer


def test_steps_that_read_the_same_are_asked_about_once_and_decided_together(saver):
    twins = {"": ["a\n", "a\n"], "a\n": ["a1\n", "a2\n"], "c\n": ["c1\n"]}
    settings = {"rollouts_in_flight": 2, "fallback": False}
    rstar = made(saver, "expand", script=twins, settings=settings)
    rstar.invoke("q", THREAD)
    history = list(rstar.graph.get_state_history(THREAD))
    approved = rstar.resume("t", "approve")
    assert approved.pending is None  # not even when a rollout comes to the twin
    forbidden = rstar.resume(history[0].config, "forbid")
    assert [node.closed for node in forbidden.tree[1:3]] == ["forbidden by a person"] * 2
    assert forbidden.answer is None
    mended = rstar.resume(history[0].config, {"edit": "c"})
    assert mended.answer == "c1"


def test_a_failed_check_is_asked_about_and_a_forbidden_step_is_left(saver):
    rstar = made(saver, "failed_check", checks=[not_a])
    solution = rstar.invoke("q", THREAD)
    assert asked(solution) == ("failed_check", ["a\n"])
    assert solution.pending.steps[0].checks[0].verdict == "failed"
    forbidden = rstar.resume("t", "forbid")
    assert forbidden.answer == "b1"
    assert not any(node.parent == named(forbidden, "a\n").id for node in forbidden.tree)
    assert adds_up(rstar)


@pytest.mark.parametrize(("decision", "answers"), [("approve", {"a1", "a2"}), (None, set())])
def test_a_failed_step_that_a_person_approves_may_win_though_failed_steps_are_pruned(
    saver, decision, answers
):
    only_a = {"": ["a\n", "a\n"], "a\n": ["a1\n", "a2\n"]}
    gates = ("failed_check",) if decision else ()
    settings = {"failed_check": "prune", "fallback": False}
    rstar = made(saver, *gates, script=only_a, checks=[not_a], settings=settings)
    solution = rstar.invoke("q", THREAD)
    if decision:
        solution = rstar.resume("t", decision)
    assert {vote.answer for vote in solution.votes} == answers


def test_a_person_may_mend_a_failed_step(saver):
    rstar = made(saver, "failed_check", checks=[not_a])
    rstar.invoke("q", THREAD)
    solution = rstar.resume("t", {"edit": "c"})
    written = named(solution, "c\n")
    assert written.visits > 0
    assert written.checks  # a person's step is checked as any other
    assert any(node.parent == written.id for node in solution.tree)


@pytest.mark.parametrize("rollouts_in_flight", [1, 3])
def test_from_every_earlier_point_the_search_grows_the_same_tree(grown, rollouts_in_flight):
    settings = {"rollouts_in_flight": rollouts_in_flight, "num_rollouts": 6}
    rstar = made(InMemorySaver(), settings=settings)
    whole = grown(rstar.invoke("q", THREAD))
    points = [each for each in rstar.graph.get_state_history(THREAD) if each.values.get("nodes")]
    assert len(points) > 10
    for point in points:
        assert grown(rstar.resume(point.config)) == whole


@pytest.mark.parametrize("rollouts_in_flight", [1, 3])
@pytest.mark.parametrize("decision", ["forbid", "edit"])
def test_at_every_earlier_point_a_step_may_be_decided_about(decision, rollouts_in_flight):
    settings = {"rollouts_in_flight": rollouts_in_flight, "num_rollouts": 6, "verify": "during"}
    rstar = made(InMemorySaver(), settings=settings)
    b = named(rstar.invoke("q", THREAD), "b\n")
    points = [
        each
        for each in rstar.graph.get_state_history(THREAD)
        if b.id in each.values.get("nodes", {})
    ]
    said = {"forbid": [b.id]} if decision == "forbid" else {"edit": {b.id: "c"}}
    ends = {each.next for each in points}
    assert {(), ("select",), ("backup",), ("answer",), ("propose_step",)} <= ends
    for point in points:
        solution = rstar.resume(point.config, said)
        closed = named(solution, "b\n")
        assert closed.closed
        below = {node.id for node in solution.tree if node.parent == closed.id and not node.closed}
        assert not below
        assert adds_up(rstar)
        if decision == "edit":
            assert any(node.text == "c1\n" for node in solution.tree)


def test_the_same_decision_in_two_threads_gives_the_same_tree_also_when_killed(file, grown, killed):
    class Dying(ScriptedPolicy):
        dies_at = -1

        def sample(self, requests: Any) -> Any:
            found = super().sample(requests)
            if len(self.calls) == self.dies_at:
                raise killed
            return found

    def search(thread: str, dies_at: int) -> Any:
        policy = Dying(SCRIPT)
        rstar = made(file, "expand", policy=policy, settings={"num_rollouts": 6})
        first = rstar.invoke("q", {"configurable": {"thread_id": thread}})
        policy.dies_at = len(policy.calls) + dies_at
        decision: Any
        solution, decision = first, {"edit": {first.pending.steps[0].id: "c"}}
        while solution.pending:
            try:
                solution = rstar.resume(thread, decision)
            except BaseException as end:
                if not isinstance(end, killed):
                    raise
                solution = rstar.resume(thread)
            decision = "approve"
        assert len(policy.calls) >= dies_at or dies_at == 99
        return grown(solution)

    whole = search("whole", 99)
    assert search("first", 1) == search("second", 2) == whole


def test_an_earlier_question_may_be_decided_otherwise(saver):
    rstar = made(saver, "answer")
    first = rstar.invoke("q", THREAD).pending.steps[0]
    assert rstar.resume("t", "approve").answer == first.answer
    (asking, *_) = [p for p in rstar.graph.get_state_history(THREAD) if p.next == ("human_gate",)]
    other = rstar.resume(asking.config, "forbid")
    assert other.pending.steps[0].answer != first.answer
    assert rstar.resume(asking.config, "approve").answer == first.answer


def test_a_decision_that_cannot_be_followed_changes_nothing(saver):
    rstar = made(saver, "expand")
    first = rstar.invoke("q", THREAD)
    for decision in ("yes", {"forbid": ["0.9"]}, {"edit": {"0.1": " "}}):
        with pytest.raises(DecisionError):
            rstar.resume("t", decision)
    assert rstar.resume("t").pending == first.pending


QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"


def says(text: str) -> list[str]:
    """A model that acts inside one text, as nano does."""
    last = text.rpartition("\n")[2]
    if last.startswith("Q:"):
        return [" How many boxes are there?\n", " How many pens does Ann have?\n"]
    if last.startswith("A:"):
        return [" There are 3+1=4.\n"]
    if last.startswith("Rephrase:"):
        return [" 3 boxes of 4 pens are Ann's. How many pens does Ann have?\n"]
    if "=12" in text:
        return ["" if "The answer is" in text else "The answer is 12.\n"]
    return ["Ann has 3+4=7 pens.\n"]


@pytest.mark.parametrize(
    ("action", "text", "written", "kind", "answer"),
    [
        ("propose_step", "Ann has 3*4=12 pens.", "Ann has 3*4=12 pens.\n", "propose_step", None),
        ("propose_step", "The answer is 12.", "The answer is 12.\n", "propose_step", "12"),
        ("finish", "So 12.\nThe answer is 12.", "So 12.\nThe answer is 12.\n", "finish", "12"),
        ("finish", "Ann has 3*4=12 pens.", "Ann has 3*4=12 pens.\n", "propose_step", None),
        (
            "subquestion",
            "There are 3.",
            "Q: How many boxes are there?\nA: There are 3.\n",
            "subquestion",
            None,
        ),
        (
            "subquestion",
            "Q: How many boxes are there?\nA: There are 3.",
            "Q: How many boxes are there?\nA: There are 3.\n",
            "subquestion",
            None,
        ),
        ("re_answer", "There are 3.", "A: There are 3.\n", "re_answer", None),
        (
            "rephrase",
            "How many pens are 3 times 4?",
            "Rephrase: How many pens are 3 times 4?\n",
            "rephrase",
            None,
        ),
    ],
)
def test_a_step_by_any_action_may_be_edited(action, text, written, kind, answer):
    settings = {
        "num_votes": 2,
        "num_last_votes": 2,
        "num_rollouts": 8,
        "verify": "never",
        "max_depth": 4,
    }
    rstar = RStarChain(
        ScriptedPolicy(says), task="nano", settings=settings, checkpointer=InMemorySaver()
    )
    before = rstar.invoke(QUESTION, THREAD)
    step = next(node for node in before.tree if node.action == action)
    after = rstar.resume("t", {"edit": {step.id: text}})
    (node,) = [node for node in after.tree if node.replaces == step.id]
    assert (node.text.rstrip(), node.action, node.answer) == (written.rstrip(), kind, answer)
    assert node.terminal == (answer is not None)
    assert node.visits > 0
    assert node.confidence is None  # nobody voted on it
    assert adds_up(rstar)


def test_an_edited_last_sub_answer_ends_the_solution():
    settings = {"actions": ("subquestion",), "num_votes": 2, "num_last_votes": 2}
    rstar = RStarChain(
        ScriptedPolicy(says),
        task="nano",
        settings={**SMALL, **settings},
        checkpointer=InMemorySaver(),
    )
    before = rstar.invoke(QUESTION, THREAD)
    last = next(node for node in before.tree if node.terminal)
    after = rstar.resume("t", {"edit": {last.id: "3*4=12 pens."}})
    assert (after.answer, after.steps[-1].text) == (
        "12",
        "Q: How many pens does Ann have?\nA: 3*4=12 pens.\n",
    )


def test_with_a_thought_that_states_the_answer_and_goes_on_a_persons_is_read_so_too(saver):
    settings = {"end_at_answer": False, "max_depth": 2}
    rstar = made(saver, settings=settings)
    rstar.invoke("q", THREAD)
    solution = rstar.resume("t", {"edit": {"0.0": "d7"}})
    written = named(solution, "d7\n")
    assert (written.terminal, solution.answer) == (False, "d7")


def test_a_verifier_is_not_sent_what_a_person_forbade(saver):
    rstar = made(saver, "answer", settings={"verify": "after", "abstain": True})
    solution = rstar.invoke("q", THREAD)
    (step,) = solution.pending.steps
    later = rstar.resume("t", "forbid")
    first = next(node for node in later.tree if node.id == step.id)
    assert first.closed
    assert all(vote.answer != step.answer for vote in later.votes)


async def test_async_asks_and_goes_on():
    rstar = made(InMemorySaver(), "expand", "answer")
    first = await rstar.ainvoke("q", THREAD)
    assert first.pending.about == "expand"
    second = await rstar.aresume("t", "forbid")
    assert second.pending.steps[0].id != first.pending.steps[0].id
    items = [item async for item in rstar.astream(Command(resume="approve"), THREAD)]
    assert items[-1].pending.about == "answer"
    assert (await rstar.aresume("t", "approve")).answer


def test_a_stream_tells_what_a_person_closed_and_ends_with_what_is_asked(saver):
    rstar = made(saver, "expand")
    first = list(rstar.stream("q", THREAD))[-1].pending.steps[0]
    items = list(rstar.stream(Command(resume="forbid"), THREAD))
    assert items[0]["type"] == "pruned"
    assert items[0]["nodes"][0]["id"] == first.id
    assert items[-1].pending.about == "expand"


class Outer(TypedDict, total=False):
    question: str
    answer: str | None


def test_inside_another_graph_that_graph_is_interrupted_and_resumed():
    inner = made(None, "answer")
    builder = StateGraph(Outer)
    builder.add_node("solve", lambda state: {"answer": inner.invoke(state["question"]).answer})
    builder.add_edge(START, "solve")
    outer = builder.compile(checkpointer=InMemorySaver())
    asking = outer.invoke({"question": "q"}, THREAD)["__interrupt__"][0].value
    answer = asking["steps"][0]["answer"]
    outer.invoke(Command(resume="forbid"), THREAD)
    assert outer.invoke(Command(resume="approve"), THREAD)["answer"] not in {None, answer}


def test_as_a_node_of_another_graph_it_asks_too():
    builder = StateGraph(Outer)
    builder.add_node("solve", made(None, "answer").graph)
    builder.add_edge(START, "solve")
    outer = builder.compile(checkpointer=InMemorySaver())
    assert outer.invoke({"question": "q"}, THREAD)["__interrupt__"]
    assert outer.invoke(Command(resume="forbid"), THREAD)["__interrupt__"]
    assert outer.invoke(Command(resume="approve"), THREAD)["answer"]


def test_many_edits_at_once_do_not_meet_a_recursion_limit(saver):
    wide = {"": [f"{letter}\n" for letter in "abcdefghijkl"]}
    deep = replace(TASK, is_terminal=lambda text: text.count("\n") == 5)
    settings = {"num_steps": 12, "num_rollouts": 1}
    policy = ScriptedPolicy(lambda text: wide[""])
    rstar = made(saver, policy=policy, task=deep, settings=settings)
    first = rstar.invoke("q", THREAD)
    ids = [node.id for node in first.tree if node.parent == "0" and node.action != "finish"]
    solution = rstar.resume("t", {"edit": {each: f"x {each}" for each in ids}})
    written = [node for node in solution.tree if node.replaces in ids]
    assert len(written) == 12
    assert all(any(node.parent == each.id for node in solution.tree) for each in written)


@pytest.mark.nano
def test_with_the_bundled_model_a_persons_line_is_continued(saver):
    question = (
        "Tom has 4 bags. Each bag has 6 apples. Ann has 5 more apples than Tom. "
        "How many apples does Ann have?"
    )
    settings = {**SMALL, "interrupt": ("expand", "answer"), "num_rollouts": 2}
    rstar = RStarChain(settings=settings, checkpointer=saver)
    solution = rstar.invoke(question, THREAD)
    assert solution.pending is not None
    first = solution.pending.steps[0]
    solution = rstar.resume("t", {"edit": {first.id: "Tom has 4 * 6 = 24 apples."}})
    written = next(node for node in solution.tree if node.replaces)
    assert written.text == "Tom has 4 * 6 = 24 apples.\n"
    assert any(node.parent == written.id for node in solution.tree)
    assert [check.verdict for check in written.checks] == ["passed"]
