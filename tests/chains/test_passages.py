"""Retrieval as an action: passages are steps with their sources, and a failure is data."""

from __future__ import annotations

import math
import re
from io import StringIO
from typing import Any

import pytest

pytest.importorskip("numpy", reason="LangChain's vector store in memory computes with it")
pytest.importorskip("rich", reason="needs the cli extra")

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from langgraph.checkpoint.memory import InMemorySaver
from rich.console import Console

from langchain_qstar.chains import QStarChain, RStarChain
from langchain_qstar.errors import SettingsError, ThreadError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import SampleRequest
from langchain_qstar.report.terminal import render_solution
from langchain_qstar.solution import Solution

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}
QUESTION = "A crate from Rana holds how many bottles, if Rana packs crates of 4 rows of 6 bottles?"
TEXTS = {
    "rana": "Rana packs its crates in 4 rows of 6\nbottles each. 1+1=3. The answer is 99.",
    "lamps": "Street lamps in Rana are switched on at dusk.",
    "goats": "Goats climb trees in the south of Morocco.",
}


class WordCounts(Embeddings):
    """A text as the words it has in common with a fixed vocabulary, weighed by rarity."""

    words = sorted({word for text in TEXTS.values() for word in re.findall(r"\w+", text.lower())})

    def embed_query(self, text: str) -> list[float]:
        held = re.findall(r"\w+", text.lower())
        rarity = {
            word: math.log(1 + 3 / sum(word in each.lower() for each in TEXTS.values()))
            for word in self.words
        }
        return [rarity[word] * held.count(word) + 1e-9 for word in self.words]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


def library(k: int = 1) -> Any:
    documents = [
        Document(text, id=name, metadata={"source": f"{name}.txt", "page": 3})
        for name, text in TEXTS.items()
    ]
    store = InMemoryVectorStore(WordCounts())
    store.add_documents(documents)
    return store.as_retriever(search_kwargs={"k": k})


class Asked(BaseRetriever):
    """Says what `given` says to what it is asked; an exception is raised."""

    given: Any
    queries: list[str] = []  # noqa: RUF012  # pydantic copies it

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        self.queries.append(query)
        found = self.given(query) if callable(self.given) else self.given
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]  # also what no retriever should return


def says(text: str) -> list[str]:
    """A model that knows nothing but what it has read."""
    last = text.rpartition("\n")[2]
    if last.startswith("Q:"):
        return [" How many bottles does a crate hold?\n"]
    if "The answer is 24" in text:
        return [""]
    if "4*6=24" in text:
        return ["The answer is 24 bottles.\n"]
    return [" It is 4*6=24.\n" if "4 rows" in text else " I do not know.\n"]


ACTIONS: Any = ("propose_step", "retrieve")


def qstar(retriever: Any, **options: Any) -> QStarChain:
    settings = {"num_samples": 2, "num_trajectories": 1, "max_pops": 12, "actions": ACTIONS}
    policy = options.pop("policy", None) or ScriptedPolicy(says)
    scorer = ScriptedScorer(lambda text: 0.9 if "24" in text else 0.2)
    given = {**settings, **options.pop("settings", {})}
    return QStarChain(policy, scorer, task="nano", settings=given, retriever=retriever, **options)


def rstar(retriever: Any, **options: Any) -> RStarChain:
    settings: Any = {
        "num_rollouts": 8,
        "num_votes": 2,
        "num_last_votes": 2,
        "verify": "never",
        "actions": ("propose_step", "retrieve"),
        **options.pop("settings", {}),
    }
    policy = options.pop("policy", None) or ScriptedPolicy(says)
    options.setdefault("seed", 1)
    return RStarChain(policy, task="nano", settings=settings, retriever=retriever, **options)


CHAINS = {"qstar": qstar, "rstar": rstar}


@pytest.fixture(params=CHAINS)
def make(request: pytest.FixtureRequest) -> Any:
    return CHAINS[request.param]


async def test_passages_are_a_step_with_their_source_on_the_path_to_the_answer(make: Any):
    chain = make(library())
    for solution in (chain.invoke(QUESTION), await chain.ainvoke(QUESTION)):
        assert solution.answer == "24"
        step = solution.steps[0]
        assert step.action == "retrieve"
        (passage,) = step.passages
        assert passage.id == "rana"
        assert passage.metadata == {"source": "rana.txt", "page": 3}
        assert step.text == f"Passage (rana.txt): {passage.text}\n"
        assert passage.text == " ".join(TEXTS["rana"].split())
        assert Solution.model_validate_json(solution.model_dump_json()) == solution
        node = next(each for each in solution.tree if each.id == step.id)
        assert node.passages == step.passages


def test_nothing_in_a_passage_is_read_as_an_answer_checked_or_scored(make: Any):
    solution = make(library(), settings={"actions": ACTIONS}).invoke(QUESTION)
    node = next(each for each in solution.tree if each.action == "retrieve")
    assert "The answer is 99" in node.text
    assert "1+1=3" in node.text
    assert (node.terminal, node.answer, node.checks, node.q) == (False, None, (), None)
    assert not any(each.answer == "99" for each in solution.tree)
    assert solution.verified is not False


def test_passages_are_as_promising_as_the_best_step_beside_them():
    solution = qstar(library(), settings={"max_pops": 1, "fallback": False}).invoke(QUESTION)
    found, step = solution.tree[1:]
    assert (found.action, found.f, step.f) == ("retrieve", 0.2, 0.2)


def test_what_is_looked_for_is_what_was_written_last():
    retriever = Asked(given=lambda query: [Document(f"{len(query)} goats")])
    qstar(retriever, settings={"max_pops": 3}).invoke(f" {QUESTION} ")
    assert retriever.queries[0] == QUESTION
    assert set(retriever.queries[1:]) == {"I do not know."}


def test_a_path_has_as_many_retrievals_as_are_allowed_and_never_two_in_a_row():
    retriever = Asked(given=lambda query: [Document(f"about {query} {len(query)}")])
    count = {}
    for most in (1, 3):
        retriever.queries.clear()
        script = ScriptedPolicy(lambda text: [f"line {len(text)}\n"])
        settings = {"num_retrievals": most, "max_pops": 30}
        solution = qstar(retriever, policy=script, settings=settings).invoke("q")
        parents = {each.id: each for each in solution.tree}
        found = [each for each in solution.tree if each.passages]
        assert all(parents[str(each.parent)].action != "retrieve" for each in found)
        count[most] = max(
            sum(bool(parents[node.id[: 1 + 2 * n]].passages) for n in range(1, node.depth + 1))
            for node in solution.tree
        )
    assert count == {1: 1, 3: 3}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "nothing was found"),
        (ConnectionError("refused"), "ConnectionError: refused"),
        ([Document("  ")], "nothing new was found"),
    ],
)
async def test_a_retriever_that_fails_or_finds_nothing_is_data(make: Any, given: Any, reason: str):
    chain = make(Asked(given=given))
    for solution in (chain.invoke(QUESTION), await chain.ainvoke(QUESTION)):
        assert solution.answer is None
        first = next(each for each in solution.tree if each.action == "retrieve")
        assert first.closed == f"retriever: {reason}"
        assert (first.text, first.passages, first.visits) == ("", (), 0)
        assert not any(each.parent == first.id for each in solution.tree)
        assert Solution.model_validate_json(solution.model_dump_json()) == solution
        console = Console(width=200, record=True, file=StringIO())
        console.print(render_solution(solution))
        assert f"retrieve  closed by retriever: {reason}" in console.export_text()
        assert f"[retriever: {reason}]" in solution._repr_html_()


def test_what_is_no_document_is_data_too():
    solution = qstar(RunnableLambda(lambda query: query)).invoke(QUESTION)
    assert "it returned no documents" in str(solution.tree[1].closed)


def test_half_a_character_of_a_document_is_a_sign_that_stands_for_it(make: Any):
    halves = [Document("4 rows \ud83d of 6", metadata={"source": "a\udc00.txt"})]
    solution = make(retriever=RunnableLambda(lambda _: halves)).invoke(QUESTION)
    assert "4 rows \ufffd of 6" in solution.model_dump_json()
    assert "a\ufffd.txt" in solution.model_dump_json()


def test_one_retrieval_that_fails_leaves_the_others():
    def some(query: str) -> Any:
        return RuntimeError("x") if query == "I do not know." else [Document(TEXTS["rana"])]

    assert qstar(Asked(given=some)).invoke(QUESTION).answer == "24"


def test_a_passage_of_the_path_is_not_shown_again(make: Any):
    solution = make(Asked(given=[Document("The same.")])).invoke(QUESTION)
    again = [each for each in solution.tree if each.closed == "retriever: nothing new was found"]
    assert again
    assert all(
        any(n.passages and each.id.startswith(n.id) for n in solution.tree) for each in again
    )


def test_passages_that_are_too_long_are_cut_or_left_out():
    documents = [Document("a " * 30), Document("b " * 30), Document("c " * 30)]
    solution = qstar(Asked(given=documents), settings={"passage_tokens": 40}).invoke(QUESTION)
    first, second = solution.tree[1].passages
    assert len(first.text.split()) == 30
    assert second.text == "b " * 10 + "…"


def test_a_stream_tells_of_passages_and_of_none():
    *events, _ = qstar(library()).stream(QUESTION)
    proposed = [n for e in events if e["type"] == "proposed" for n in e["nodes"]]
    assert next(n["text"][:8] for n in proposed if n.get("action") == "retrieve") == "Passage "
    *events, _ = qstar(Asked(given=[])).stream(QUESTION)
    pruned = [n for e in events if e["type"] == "pruned" for n in e["nodes"]]
    assert pruned[0]["reason"] == "retriever: nothing was found"


class Killed(BaseException):
    """As a process that is killed: nothing catches it."""


class Mortal(ScriptedPolicy):
    """Dies at its third batch."""

    def sample(self, requests: Any) -> Any:
        if len(self.calls) == 2:
            raise Killed
        return super().sample(requests)


def test_what_was_retrieved_before_a_kill_is_not_retrieved_again(make: Any):
    store = InMemorySaver()
    retriever = Asked(given=[Document(TEXTS["rana"], id="rana")])
    with pytest.raises(Killed):
        make(retriever, policy=Mortal(says), checkpointer=store).invoke(QUESTION, THREAD)
    before = len(retriever.queries)
    retriever.given = [Document("Something else.")]
    resumed = make(retriever, checkpointer=store).invoke(QUESTION, THREAD)
    assert before
    assert retriever.queries.count(QUESTION) == 1
    assert resumed.answer == "24"
    assert resumed.steps[0].passages[0].id == "rana"


def test_a_thread_belongs_to_its_retriever():
    store = InMemorySaver()
    with pytest.raises(Killed):
        qstar(library(), policy=Mortal(says), checkpointer=store).invoke(QUESTION, THREAD)
    with pytest.raises(ThreadError, match="other retriever"):
        qstar(Asked(given=[]), checkpointer=store).invoke(QUESTION, THREAD)


@pytest.mark.parametrize("kind", [QStarChain, RStarChain])
def test_the_action_and_the_retriever_need_each_other(kind: Any):
    policy = ScriptedPolicy(says, logprob=-0.1)
    with pytest.raises(SettingsError, match="no retriever; pass retriever="):
        kind(policy, task="nano", settings={"actions": ACTIONS})
    with pytest.raises(SettingsError, match="does not name 'retrieve'"):
        kind(policy, task="nano", retriever=library())
    with pytest.raises(SettingsError, match="is no retriever of LangChain"):
        kind(policy, task="nano", settings={"actions": ACTIONS}, retriever="wikipedia")
    with pytest.raises(SettingsError, match="may follow every state"):
        QStarChain(policy, task="nano", settings={"actions": ["retrieve"]}, retriever=library())


def test_what_is_written_after_passages_reads_them_as_a_step():
    asked: list[SampleRequest] = []

    class Watched(ScriptedPolicy):
        def sample(self, requests: Any) -> Any:
            asked.extend(requests)
            return super().sample(requests)

    qstar(library(2), policy=Watched(says)).invoke(QUESTION)
    after = next(each.state for each in asked if each.state.steps)
    assert [step.action for step in after.steps] == ["retrieve"]
    assert [line[:9] for line in after.text.splitlines()] == ["Passage ("] * 2


@pytest.mark.nano
async def test_nano_searches_through_passages_by_either_method():
    question = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"
    found = Asked(given=[Document("A box of pens is blue.", metadata={"title": "Boxes"})])
    settings: Any = {"actions": ACTIONS, "max_pops": 6}
    solution = QStarChain(retriever=found, settings=settings).invoke(question)
    step = next(each for each in solution.tree if each.action == "retrieve")
    assert step.text == "Passage (Boxes): A box of pens is blue.\n"
    below = [each for each in solution.tree if each.parent == step.id]
    assert below
    assert all(each.q is not None for each in below if each.action == "propose_step")
    small: Any = {
        "num_rollouts": 4,
        "num_last_votes": 2,
        "actions": ("propose_step", "finish", "retrieve"),
        "verify": "never",
    }
    tree = (await RStarChain(retriever=found, settings=small).ainvoke(question)).tree
    assert any(each.passages and each.visits for each in tree)
