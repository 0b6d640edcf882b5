"""A person in the loop of searches that retrieve, remember sub-questions, or know their thread."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from langchain_qstar.chains import QStarChain, RStarChain
from langchain_qstar.errors import DecisionError, ThreadError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.solution import Solution
from langchain_qstar.tree import is_closed, lineage

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}
ALL = ("expand", "answer", "failed_check")
QUESTION = "A crate of Rana holds how many bottles?"
KNOWN = "A crate has 4 rows of 6 bottles. 1+1=3. The answer is 99."
ASKED = "Ann has 3 boxes with 4 pens each. How many pens are left when Ann gives no pen away?"


class Shelf(BaseRetriever):
    """Finds the same for every question."""

    found: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return self.found


def shelf(*texts: str) -> Shelf:
    return Shelf(found=[Document(text, metadata={"source": "shelf"}) for text in texts])


def reads(text: str) -> list[str]:
    """A model that knows nothing but what it has read."""
    if "The answer is 24" in text:
        return [""]
    if "4*6=24" in text:
        return ["The answer is 24 bottles.\n"]
    if "5*6=30" in text:
        return ["The answer is 30 bottles.\n"]
    if "5 rows" in text:
        return [" It is 5*6=30.\n"]
    return [" It is 4*6=24.\n" if "4 rows" in text else " Hm.\n"]


def asks(text: str) -> list[str]:
    """A model that asks itself one thing, and answers."""
    last = text.rpartition("\n")[2]
    if last.startswith("Q:"):
        return [" How many pens are in the boxes?\n"]
    if last.startswith("A:"):
        return [" The boxes hold 3*4=12 pens.\n"]
    if "The answer is" in text:
        return [""]
    return ["The answer is 12.\n" if "=12" in text else "I do not know.\n"]


def made(name: str, saver: Any, *interrupt: str, policy: Any = None, **options: Any) -> Any:
    """A chain that reads what a shelf has, or with a store remembers sub-questions."""
    given = {"interrupt": interrupt, **options.pop("settings", {})}
    if "store" in options:
        given = {"actions": ("subquestion", "propose_step"), "remember": "conditions", **given}
    else:
        given = {"actions": ("propose_step", "retrieve"), **given}
        options.setdefault("retriever", shelf(KNOWN))
    policy = policy or ScriptedPolicy(asks if "store" in options else reads)
    options |= {"task": "nano", "checkpointer": saver}
    if name == "qstar":
        given = {"num_samples": 2, "num_trajectories": 1, "max_pops": 8, **given}
        scorer = ScriptedScorer(lambda text: 0.9 if "24" in text or "12" in text else 0.2)
        return QStarChain(policy, scorer, settings=given, **options)
    votes = {
        "num_votes": 3,
        "num_last_votes": 3,
        "verify": "never",
        "num_rollouts": 4,
        "num_steps": 2,
        "max_depth": 4,
    }
    return RStarChain(policy, settings={**votes, **given}, seed=2, **options)


MACHINES = pytest.mark.parametrize("name", ["qstar", "rstar"])


def entries(store: Any) -> list[dict[str, Any]]:
    return [item.value for item in store.search(("qstar",), limit=100)]


def first(solution: Solution, action: str) -> Any:
    """The first open step by an action."""
    return next(node for node in solution.tree if node.action == action and not node.closed)


def adds_up(chain: Any) -> bool:
    """Whether every open node of rStar has the visits and rewards of the rollouts that count."""
    values = chain.graph.get_state(THREAD).values
    nodes, stats = values["nodes"], values["stats"]
    visits: Counter[str] = Counter()
    value: Counter[str] = Counter()
    for tip in values.get("ended", ()):
        if not is_closed(stats.get(tip, {})):
            visits.update(lineage(tip))
            reward = stats[tip].get("reward") or 0.0
            value.update(dict.fromkeys(lineage(tip), reward))
    for each in nodes:
        learnt = stats.get(each, {})
        if "ended" in values and not is_closed(learnt):
            assert learnt.get("visits", 0) == visits[each]
            assert learnt.get("value", 0.0) == pytest.approx(value[each])
    return True


@MACHINES
@pytest.mark.parametrize("kind", ["passages", "memory"])
def test_approving_everything_grows_the_tree_of_a_search_that_asks_nothing(name, kind, grown):
    def options() -> dict[str, Any]:
        if kind == "passages":
            return {}
        store = InMemoryStore()  # with what an earlier search has learnt
        made(name, None, store=store).invoke(ASKED)
        assert entries(store)
        return {"store": store}

    question = QUESTION if kind == "passages" else ASKED
    given, saver, about, shown = options(), InMemorySaver(), set(), []
    solution = made(name, saver, *ALL, **given).invoke(question, THREAD)
    while solution.pending:
        about.add(solution.pending.about)
        shown += [step for step in solution.pending.steps if step.passages or step.remembered]
        # each time as in another process, which knows nothing but the stores
        solution = made(name, saver, *ALL, **given).resume("t", "approve")
    assert solution.answer == ("24" if kind == "passages" else "12")
    assert grown(solution)[:2] == grown(made(name, None, **options()).invoke(question))[:2]
    assert about == {"expand", "answer"}
    assert shown  # a person sees where it is from


@MACHINES
def test_what_a_person_writes_in_the_place_of_passages_is_read_and_nothing_else(name):
    chain = made(name, InMemorySaver())
    solution = chain.invoke(QUESTION, THREAD)
    found = next(node for node in solution.tree if node.passages and node.parent == "0")
    edited = chain.resume("t", {"edit": {found.id: "5 rows of 6. 1+1=3. The answer is 98."}})
    written = next(node for node in edited.tree if node.replaces == found.id)
    assert (written.action, written.terminal, written.answer) == ("retrieve", False, None)
    assert (written.checks, written.q, written.passages) == ((), None, ())
    assert written.text == "5 rows of 6. 1+1=3. The answer is 98.\n"
    assert any(node.id.startswith(f"{written.id}.") for node in edited.tree)
    closed = next(node for node in edited.tree if node.id == found.id)
    assert closed.closed == f"a person wrote {written.id} in its place"
    assert "30" in {node.answer for node in edited.tree}
    assert edited.answer == "30"
    assert adds_up(chain)
    assert chain.invoke(QUESTION, THREAD) == edited  # from the store


@MACHINES
@pytest.mark.parametrize("decision", ["forbid", "edit"])
def test_at_every_earlier_point_passages_may_be_decided_about(name, decision):
    chain = made(name, InMemorySaver())
    found = first(chain.invoke(QUESTION, THREAD), "retrieve")
    points = [
        each
        for each in chain.graph.get_state_history(THREAD)
        if found.id in each.values.get("nodes", {})
    ]
    said = {"forbid": [found.id]} if decision == "forbid" else {"edit": {found.id: "5 rows of 6"}}
    assert len(points) > 4
    for point in points:
        solution = chain.resume(point.config, said)
        closed = next(node for node in solution.tree if node.id == found.id)
        assert closed.closed
        assert all(node.closed for node in solution.tree if node.id.startswith(f"{found.id}."))
        written = [node.id for node in solution.tree if node.replaces == found.id]
        assert len(written) == (decision == "edit")
        assert all(any(n.parent == each for n in solution.tree) for each in written)
        assert adds_up(chain)


@MACHINES
def test_a_retrieval_that_found_nothing_is_no_step_to_decide_about(name):
    chain = made(name, InMemorySaver(), retriever=shelf())
    solution = chain.invoke(QUESTION, THREAD)
    nothing = next(node for node in solution.tree if node.action == "retrieve")
    for said in ({"forbid": [nothing.id]}, {"edit": {nothing.id: "4 rows"}}):
        with pytest.raises(DecisionError, match=f"no step '{nothing.id}'") as refused:
            chain.resume("t", said)
        assert "\n" not in str(refused.value)
    # Its text is that of the step before it, which stays a step of its own.
    step = first(solution, "propose_step")
    after = chain.resume("t", {"forbid": [step.id]})
    assert after.tree[0].closed is None


@MACHINES
def test_a_search_that_asks_and_is_killed_anywhere_goes_on_as_if_it_were_not(
    name, grown, killed, mortal_policy
):
    def run(saver: Any, dies_at: int) -> tuple[Any, int]:
        policy = mortal_policy(reads, dies_at)
        deaths = 0
        while True:
            try:
                chain = made(name, saver, *ALL, policy=policy)
                solution = chain.invoke(QUESTION, THREAD)
                while solution.pending:
                    solution = chain.resume("t", "approve")
            except killed:
                deaths, policy = deaths + 1, ScriptedPolicy(reads)
            else:
                return solution, deaths

    whole, _ = run(InMemorySaver(), -1)
    for call in range(4):
        again, deaths = run(InMemorySaver(), call)
        assert deaths <= 1
        assert grown(again)[:4] == grown(whole)[:4]


@MACHINES
def test_a_remembered_answer_that_a_person_forbids_is_forgotten(name):
    store = InMemoryStore()
    made(name, None, store=store).invoke(ASKED)
    known = len(entries(store))
    chain = made(name, InMemorySaver(), store=store)
    solution = chain.invoke(ASKED, THREAD)
    offered = next(node for node in solution.tree if node.remembered)
    assert len(entries(store)) == known  # offered, and not learnt again
    chain.resume("t", {"forbid": [offered.id]})
    keys = {item.key for item in store.search(("qstar",), limit=100)}
    assert offered.remembered.key not in keys


@MACHINES
def test_an_answer_that_was_learnt_and_is_edited_afterwards_is_forgotten(name):
    store = InMemoryStore()
    chain = made(name, InMemorySaver(), store=store)
    solution = chain.invoke(ASKED, THREAD)
    assert {each["answer"] for each in entries(store)} == {"12"}
    asked = [node.id for node in solution.tree if node.action == "subquestion"]
    top = [each for each in asked if not any(each.startswith(f"{above}.") for above in asked)]
    text = "How many pens are in the boxes?\nA: The boxes hold 7 pens.\n"
    chain.resume("t", {"edit": {top[0]: text}, "forbid": top[1:]})
    assert not entries(store)  # nor is what a person wrote remembered, nor what a model wrote below


@MACHINES
def test_a_forbidden_answer_is_not_learnt(name):
    store = InMemoryStore()
    chain = made(name, InMemorySaver(), "expand", store=store)
    solution = chain.invoke(ASKED, THREAD)
    while solution.pending:
        refused = [s.id for s in solution.pending.steps if "3*4=12" in s.text]
        solution = chain.resume("t", {"forbid": refused})
    assert not [each for each in entries(store) if "3*4=12" in each["text"]]


@MACHINES
def test_a_thread_that_remembers_keeps_what_was_decided_and_knows_what_was_approved(name):
    chain = made(name, InMemorySaver(), "answer", settings={"remember_thread": True})
    budget = {"max_pops": 6} if name == "qstar" else {"num_rollouts": 3}
    larger = {"max_pops": 12} if name == "qstar" else {"num_rollouts": 5}
    solution = chain.invoke(QUESTION, THREAD, **budget)
    assert solution.pending.about == "answer"
    with pytest.raises(ThreadError):
        chain.invoke("How many?", THREAD)  # a reply is owed
    solution = chain.resume("t", "approve")
    assert solution.answer == "24"
    on = chain.invoke(QUESTION, THREAD, **larger)
    while on.pending:
        on = chain.resume("t", "approve")
    assert {node.id for node in solution.tree} <= {node.id for node in on.tree}
    assert adds_up(chain)
    other = chain.invoke("And two crates?", THREAD)
    assert [(turn.question, turn.answer) for turn in other.turns] == [(QUESTION, "24")]
    while other.pending:
        other = chain.resume("t", "forbid")
    assert other.turns[0].answer == "24"


@MACHINES
def test_an_answer_that_nobody_approved_is_no_earlier_turn(name):
    machine = made(name, InMemorySaver(), "answer", settings={"remember_thread": True}).graph
    config = THREAD | {"recursion_limit": 500}
    asked = machine.invoke({"question": QUESTION}, config)
    assert asked["__interrupt__"][0].value["about"] == "answer"
    machine.invoke({"question": "And two crates?"}, config)  # the machine alone lets it pass
    root = machine.get_state(THREAD).values["nodes"]["0"]
    assert root["run"]["question"] == "And two crates?"
    assert "turns" not in root


@MACHINES
def test_what_was_forbidden_stays_so_when_the_thread_goes_on(name):
    chain = made(name, InMemorySaver(), settings={"remember_thread": True})
    budget = {"max_pops": 4} if name == "qstar" else {"num_rollouts": 2}
    solution = chain.invoke(QUESTION, THREAD, **budget)
    found = first(solution, "retrieve")
    chain.resume("t", {"forbid": [found.id]})
    on = chain.invoke(QUESTION, THREAD, **{key: 3 * value for key, value in budget.items()})
    closed = next(node for node in on.tree if node.id == found.id)
    assert closed.closed == "forbidden by a person"
    assert not any(node.id.startswith(f"{found.id}.") and not node.closed for node in on.tree)
    assert adds_up(chain)
