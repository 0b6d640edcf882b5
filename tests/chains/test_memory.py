"""Sub-questions that were solved are remembered across questions, with their source."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.store.base import GetOp
from langgraph.store.memory import InMemoryStore

from langchain_qstar.actions import normalised
from langchain_qstar.chains import QStarChain, RStarChain
from langchain_qstar.errors import SettingsError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.qstar import create_qstar_graph
from langchain_qstar.settings import QStarSettings
from langchain_qstar.solution import Solution
from langchain_qstar.tasks import NANO

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}
FIRST = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"
SAME = "Ann has 3 boxes with 4 pens each. How many pens are left when Ann gives no pen away?"
OTHER = "Ann has 5 boxes with 4 pens each. How many pens does Ann have in all of them?"


def says(text: str) -> list[str]:
    """A model that asks itself one thing, and answers."""
    last = text.rpartition("\n")[2]
    if last.startswith("Q:"):
        return [" How many pens are in the boxes?\n"]
    if last.startswith("A:"):
        return [" The boxes hold 3*4=12 pens.\n"]
    if "The answer is" in text:
        return [""]
    return ["The answer is 12.\n" if "=12" in text else "I do not know.\n"]


def asks(policy: ScriptedPolicy) -> int:
    """For how many answers to sub-questions a policy was asked."""
    return sum(each.prefill == "A:" for batch in policy.calls for each in batch)


def qstar(store: Any, policy: Any = None, **options: Any) -> QStarChain:
    settings = {
        "actions": ("subquestion", "propose_step"),
        "num_samples": 2,
        "num_trajectories": 1,
        "max_pops": 6,
        "remember": "conditions",
        **options.pop("settings", {}),
    }
    scorer = ScriptedScorer(lambda text: 0.9 if "12" in text else 0.1)
    return QStarChain(
        policy or ScriptedPolicy(says),
        scorer,
        task="nano",
        settings=settings,
        store=store,
        **options,
    )


def rstar(store: Any, policy: Any = None, **options: Any) -> RStarChain:
    settings: Any = {
        "actions": ("subquestion", "propose_step"),
        "num_rollouts": 6,
        "num_votes": 3,
        "num_last_votes": 3,
        "verify": "never",
        "remember": "conditions",
        **options.pop("settings", {}),
    }
    policy = policy or ScriptedPolicy(says)
    return RStarChain(policy, task="nano", settings=settings, store=store, **options)


CHAINS = {"qstar": qstar, "rstar": rstar}


@pytest.fixture(params=CHAINS)
def make(request: pytest.FixtureRequest) -> Any:
    return CHAINS[request.param]


def entries(store: Any) -> list[dict[str, Any]]:
    return [item.value for item in store.search(("qstar",), limit=100)]


def remembered(solution: Solution) -> list[Any]:
    return [node for node in solution.tree if node.remembered is not None]


async def test_what_was_solved_is_offered_under_the_same_conditions_without_a_model(make: Any):
    for way in ("invoke", "ainvoke"):
        store = InMemoryStore()
        first, second = ScriptedPolicy(says), ScriptedPolicy(says)
        if way == "invoke":
            known = make(store, first).invoke(FIRST)
            solution = make(store, second).invoke(SAME)
        else:
            known = await make(store, first).ainvoke(FIRST)
            solution = await make(store, second).ainvoke(SAME)
        assert asks(first)
        assert not remembered(known)
        assert (solution.answer, asks(second)) == ("12", 0)
        for node in remembered(solution):
            assert node.action == "subquestion"
            assert "3*4=12" in node.text
            assert node.remembered.asked_in == FIRST
            assert node.remembered.answer == "12"
            assert node.remembered.evidence
        assert solution.steps[0].remembered == remembered(solution)[0].remembered
        assert Solution.model_validate_json(solution.model_dump_json()) == solution
        assert "remembered" in solution._repr_html_()


def test_other_conditions_are_another_question(make: Any):
    store, policy = InMemoryStore(), ScriptedPolicy(says)
    make(store).invoke(FIRST)
    assert not remembered(make(store, policy).invoke(OTHER))
    assert asks(policy)


def test_anywhere_the_words_alone_decide(make: Any):
    store = InMemoryStore()
    anywhere = {"remember": "anywhere"}
    make(store, settings=anywhere).invoke(FIRST)
    found = remembered(make(store, settings=anywhere).invoke(OTHER))
    assert {node.remembered.asked_in for node in found} == {FIRST}
    assert not remembered(make(store).invoke(OTHER))  # of another scope


def test_a_last_sub_question_is_not_answered_with_the_answer_to_one_that_was_not():
    store = InMemoryStore()
    qstar(store).invoke(FIRST)
    whole = FIRST.replace("does Ann have", "are in the boxes")
    assert not remembered(qstar(store).invoke(whole))
    assert {each["last"] for each in entries(store)} == {True, False}


def test_by_default_nothing_is_remembered(make: Any):
    store = InMemoryStore()
    with pytest.raises(SettingsError, match="remember is 'never'"):
        make(store, settings={"remember": "never"})
    assert not remembered(make(None, settings={"remember": "never"}).invoke(FIRST))


def test_without_a_store_there_is_nothing_to_remember_in(make: Any):
    with pytest.raises(SettingsError, match="there is no store; pass store=") as refused:
        make(None).invoke(FIRST)
    assert "\n" not in str(refused.value)


def test_what_no_majority_said_is_not_stored():
    def torn(text: str) -> list[str]:
        if text.rpartition("\n")[2].startswith("A:"):
            return [" They hold 3*4=12 pens.\n", " They hold 3+4=7 pens.\n", " Who knows.\n"]
        return says(text)

    store = InMemoryStore()
    only: Any = {"actions": ("subquestion", "finish"), "failed_check": "keep"}
    rstar(store, ScriptedPolicy(torn), settings=only, checks=[]).invoke(SAME)
    assert not entries(store)
    rstar(store, settings=only, checks=[]).invoke(SAME)
    (known,) = entries(store)
    assert (known["answer"], known["evidence"]) == ("12", "3 of 3 votes")


def test_what_a_check_fails_is_not_stored():
    def wrong(text: str) -> list[str]:
        if text.rpartition("\n")[2].startswith("A:"):
            return [" The boxes hold 3*4=13 pens.\n"]
        return ["The answer is 12.\n"] if "=13" in text else says(text)

    for chain in (qstar, rstar):
        store = InMemoryStore()
        chain(store, ScriptedPolicy(wrong), settings={"failed_check": "keep"}).invoke(SAME)
        assert not entries(store)


def test_what_is_on_the_path_of_a_verified_solution_is_stored_with_who_verified_it():
    store = InMemoryStore()

    def stated(text: str) -> list[str]:
        return ["So 3*4=12. The answer is 12.\n"] if text.endswith("pens.\n") else says(text)

    def by_arithmetic(state: Any, step: str) -> bool | None:
        return True if "answer" in step or "12" in step else None

    solution = qstar(store, ScriptedPolicy(stated), checks=[by_arithmetic]).invoke(SAME)
    assert solution.verified
    assert [each["evidence"] for each in entries(store)] == ["verified by by_arithmetic"]


def test_an_answer_is_never_replaced_and_what_is_remembered_is_no_new_evidence(make: Any):
    store = InMemoryStore()
    make(store).invoke(FIRST)
    before = entries(store)
    make(store).invoke(SAME)
    make(store, seed=3).invoke(FIRST)
    assert [each for each in entries(store) if each in before] == before
    assert all("12" in each["text"] for each in entries(store))


# --- near in meaning


def letters(texts: list[str]) -> list[list[float]]:
    """An index by which letters a text has: nearly the same words are near."""
    return [[float(text.count(each)) for each in "abcdefghijklmnopqrstuvwxyz"] for text in texts]


def indexed() -> InMemoryStore:
    index: Any = {"dims": 26, "embed": letters, "fields": ["question"]}
    return InMemoryStore(index=index)


def wording(question: str) -> ScriptedPolicy:
    def other(text: str) -> list[str]:
        return [f" {question}\n"] if text.rpartition("\n")[2].startswith("Q:") else says(text)

    return ScriptedPolicy(other)


@pytest.mark.parametrize(
    ("question", "near", "offered"),
    [
        ("How many pens are there in the boxes?", 0.9, True),
        ("How many pens are there in the boxes?", None, False),
        ("How many pens are there in the boxes?", 1.0, False),
        ("How many pens are there in the 3 boxes?", 0.9, False),
        ("How many pens are there in the boxes of Ann?", 0.8, False),
    ],
)
def test_a_sub_question_that_is_near_is_offered_if_numbers_and_names_are_the_same(
    make: Any, question: str, near: float | None, offered: Any
):
    store = indexed()
    make(store).invoke(SAME)
    policy = wording(question)
    solution = make(store, policy, settings={"remember_near": near}).invoke(SAME)
    assert bool(remembered(solution)) is offered


def test_a_store_without_an_index_finds_the_same_words_only(make: Any):
    store = InMemoryStore()
    make(store).invoke(SAME)
    policy = wording("How many pens are there in the boxes?")
    assert not remembered(make(store, policy, settings={"remember_near": 0.1}).invoke(SAME))


# --- resuming


class Killed(BaseException):
    """As a process that is killed: nothing catches it."""


class Mortal(ScriptedPolicy):
    """Dies at its second batch."""

    def sample(self, requests: Any) -> Any:
        if len(self.calls) == 1:
            raise Killed
        return super().sample(requests)


class Watched(InMemoryStore):
    """Counts what it is asked for."""

    read: list[str] = []  # noqa: RUF012

    def batch(self, ops: Any) -> Any:
        ops = list(ops)
        self.read += [op.key for op in ops if isinstance(op, GetOp)]
        return super().batch(ops)


def test_what_was_remembered_before_a_kill_is_not_read_again():
    store, saver = Watched(), InMemorySaver()
    qstar(store).invoke(SAME)
    store.read.clear()
    with pytest.raises(Killed):
        qstar(store, Mortal(says), checkpointer=saver).invoke(SAME, THREAD)
    assert len(store.read) == 1
    for item in store.search(("qstar",)):
        store.delete(item.namespace, item.key)
    silent = ScriptedPolicy(says)
    resumed = qstar(store, silent, checkpointer=saver).invoke(SAME, THREAD)
    assert (len(remembered(resumed)), resumed.answer) == (1, "12")
    assert all(each.state.steps for batch in silent.calls for each in batch)  # not the root
    again = qstar(store, silent, checkpointer=saver).resume("t")
    assert again.tree == resumed.tree


def test_what_is_stored_after_a_search_began_is_not_read_by_it(make: Any):
    store = InMemoryStore()

    class Slow(ScriptedPolicy):
        def sample(self, requests: Any) -> Any:
            if not self.calls:
                make(store).invoke(SAME)
            return super().sample(requests)

    assert not remembered(make(store, Slow(says)).invoke(SAME))
    assert remembered(make(store).invoke(SAME))


# --- stores that fail, graphs around


class Broken(InMemoryStore):
    def batch(self, ops: Any) -> Any:
        raise ConnectionError("refused\nby peer")

    async def abatch(self, ops: Any) -> Any:
        raise ConnectionError("refused\nby peer")


async def test_a_store_that_fails_is_a_warning_and_the_search_goes_on(make: Any):
    with pytest.warns(UserWarning, match="without it: ConnectionError: refused$"):
        assert make(Broken()).invoke(SAME).answer == "12"
    with pytest.warns(UserWarning, match="ConnectionError"):
        assert (await make(Broken()).ainvoke(SAME)).answer == "12"


class Outer(TypedDict):
    question: str
    answer: str


def test_a_sub_graph_remembers_in_the_store_of_the_graph_around_it():
    settings = QStarSettings(
        actions=("subquestion", "propose_step"), num_samples=2, remember="conditions"
    )
    policy = ScriptedPolicy(says)
    inner = create_qstar_graph(policy, task=NANO, settings=settings).compile()
    builder = StateGraph(Outer)
    builder.add_node("search", inner)
    builder.add_edge(START, "search")
    store = InMemoryStore()
    outer = builder.compile(store=store)
    for _ in range(2):
        assert outer.invoke({"question": SAME, "answer": ""})["answer"] == "12"
    assert entries(store)


@pytest.mark.parametrize(
    "written",
    [
        "Q: How many pens?",
        "Question 3: how many  pens?",
        " **Question 2:** How many\npens ",
        "q:how many pens?",
    ],
)
def test_the_same_words_are_the_same_sub_question_whatever_their_form(written: str):
    assert normalised(written) == "how many pens"


@pytest.mark.nano
def test_nano_remembers_what_it_agreed_upon():
    store = InMemoryStore()
    settings: Any = {
        "num_rollouts": 6,
        "num_votes": 4,
        "num_last_votes": 4,
        "verify": "never",
        "remember": "conditions",
    }
    chain = RStarChain(settings=settings, store=store)
    first = chain.invoke(FIRST)
    assert not remembered(first)
    known = {item.key: item.value for item in store.search(("qstar",), limit=100)}
    voted = [n for n in first.tree if n.action == "subquestion" and (n.confidence or 0) > 0.5]
    assert len(known) <= len(voted)
    for node in remembered(chain.invoke(FIRST)):
        entry = known[node.remembered.key]
        assert node.text.endswith(entry["text"].strip() + "\n")
        assert entry["asked_in"] == FIRST
