"""Chains, tools and chat models in another process: rebuilt from what they were made of."""

from __future__ import annotations

import copy
import pickle
import sqlite3
import subprocess
import sys
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

import langchain_qstar
from langchain_qstar import (
    BestOfNChain,
    ChatQStar,
    GreedyChain,
    QStarChain,
    RStarChain,
    ScriptedPolicy,
    SelfConsistencyChain,
    create_qstar_tool,
    resolve_policy,
)
from langchain_qstar.errors import ModelError, SettingsError

pytestmark = pytest.mark.nano
QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does she have?"
CHAINS: dict[str, Any] = {
    "qstar": lambda: QStarChain(settings={"max_pops": 6}, seed=3),
    "rstar": lambda: RStarChain(settings={"num_rollouts": 1, "num_last_votes": 4}),
    "greedy": lambda: GreedyChain("nano"),
    "self-consistency": lambda: SelfConsistencyChain(n=3, checks=["arithmetic"]),
    "best-of-n": lambda: BestOfNChain(n=3),
}
OTHER_PROCESS = "import pickle, sys; print(pickle.load(sys.stdin.buffer).invoke(sys.argv[1]))"


@pytest.mark.parametrize("method", CHAINS)
def test_a_chain_that_was_pickled_or_copied_gives_the_same_answer(method):
    chain = CHAINS[method]()
    told = chain.invoke(QUESTION)
    for other in (pickle.loads(pickle.dumps(chain)), copy.copy(chain), copy.deepcopy(chain)):  # noqa: S301
        assert other is not chain
        assert other.policy is chain.policy  # loaded once, and shared
        again = other.invoke(QUESTION)
        assert (again.answer, again.text, again.votes) == (told.answer, told.text, told.votes)


def test_a_chain_solves_in_a_process_that_knows_nothing_but_the_pickle():
    chain = GreedyChain("nano").returning("text")
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OTHER_PROCESS, QUESTION],
        input=pickle.dumps(chain),
        capture_output=True,
        timeout=300,
        check=True,
    )
    assert found.stdout.decode().strip() == chain.invoke(QUESTION).strip()


@pytest.mark.parametrize(
    "make",
    [
        lambda: create_qstar_tool(GreedyChain("nano")),
        lambda: ChatQStar(chain=GreedyChain("nano")),
        lambda: langchain_qstar.ChatLocal(model="nano", max_tokens=5, seed=1),
        lambda: langchain_qstar.LocalLLM(model="nano", max_tokens=5, seed=1),
    ],
    ids=["tool", "chat of a search", "chat", "llm"],
)
def test_tools_and_chat_models_are_pickled_and_copied_too(make):
    one = make()
    asked = {"question": QUESTION} if one.__class__.__name__ == "SolverTool" else QUESTION
    for other in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):  # noqa: S301
        assert str(getattr(other.invoke(asked), "content", "")) == str(
            getattr(one.invoke(asked), "content", "")
        )


def test_a_model_that_was_loaded_by_hand_says_what_to_do(llama, make_tokenizer):
    from langchain_qstar.models.transformers.policy import TransformersPolicy

    policy = TransformersPolicy(llama, make_tokenizer(template=None))
    with pytest.raises(ModelError, match="made of loaded objects"):
        pickle.dumps(GreedyChain(policy, task="gsm8k"))
    assert copy.deepcopy(policy) is policy


def test_what_cannot_be_pickled_is_one_line():
    chain = QStarChain(
        ScriptedPolicy({"": ["The answer is 7.\n"]}),
        None,
        task="gsm8k",
        checkpointer=InMemorySaver(),
        checks=[lambda state, step: (None, "")],
    )
    with pytest.raises(SettingsError, match="cannot be pickled: ") as raised:
        pickle.dumps(chain)
    assert "make it in the other process" in str(raised.value)
    assert chain.returning("text").invoke("?", {"configurable": {"thread_id": "t"}})


def test_nano_is_the_same_object_after_a_pickle():
    policy = resolve_policy("nano")
    assert pickle.loads(pickle.dumps(policy)) is policy  # noqa: S301


def test_a_store_that_is_open_stays_where_it_is():
    pytest.importorskip("langgraph.checkpoint.sqlite")
    from langgraph.checkpoint.sqlite import SqliteSaver

    saver = SqliteSaver(sqlite3.connect(":memory:", check_same_thread=False))
    with pytest.raises(SettingsError, match="cannot be pickled"):
        pickle.dumps(QStarChain(checkpointer=saver))
