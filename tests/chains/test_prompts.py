"""How a chain asks: by what its model is, or as it is told."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langchain_qstar.chains import (
    BestOfNChain,
    GreedyChain,
    QStarChain,
    RStarChain,
    SelfConsistencyChain,
)
from langchain_qstar.errors import SettingsError, ThreadError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import SampleRequest

QUESTION = "What are 2 and 3?"


def lines(text: str) -> list[str]:
    return ["2 + 3 = 5\n"] if "2 + 3" not in text else ["The answer is 5.\n"]


@pytest.fixture
def model():
    def make(*, chats: bool = True, write: Any = lines):
        policy = ScriptedPolicy(write)
        policy.chats = chats  # type: ignore[attr-defined]
        return policy

    return make


def asked(policy: ScriptedPolicy) -> list[SampleRequest]:
    return [request for batch in policy.calls for request in batch]


def chains(policy: Any, **options: Any) -> list[Any]:
    small = {"num_trajectories": 1, "max_pops": 4, "num_samples": 1}
    given = {"task": "gsm8k", **options}
    return [
        QStarChain(policy, ScriptedScorer({}), settings=small, **given),
        GreedyChain(policy, **given),
        SelfConsistencyChain(policy, n=2, **given),
        BestOfNChain(policy, ScriptedScorer({}), n=2, **given),
    ]


@pytest.mark.parametrize(
    ("chats", "options", "prompts", "messages"),
    [
        (True, {}, "zero-shot", 1),
        (True, {"shots": 2}, "few-shot (2)", 5),
        (True, {"prompts": "few-shot"}, "few-shot (8)", 17),
        (False, {}, "completion (8)", 1),
        (False, {"shots": 1}, "completion (1)", 1),
        (False, {"prompts": "zero-shot"}, "zero-shot", 1),
    ],
)
@pytest.mark.parametrize("number", range(4), ids=["qstar", "greedy", "majority", "best"])
def test_every_method_asks_as_its_model_is_asked_and_says_so(
    model, number, chats, options, prompts, messages
):
    policy = model(chats=chats)
    solution = chains(policy, **options)[number].invoke(QUESTION)
    assert solution.prompts == prompts
    for request in asked(policy):
        assert len(request.state.messages) == messages
        assert ("Problem: A florist" in request.state.messages[0][1]) == ("comp" in prompts)


@pytest.mark.parametrize(
    ("chats", "options", "prompts", "messages"),
    [
        (True, {}, "few-shot (3)", {5, 7}),  # two examples of rephrasing
        (True, {"shots": 1}, "few-shot (1)", {3}),
        (False, {}, "completion (3)", {1}),
        (True, {"prompts": "completion"}, "completion (3)", {1}),
    ],
)
def test_rstar_shows_its_examples_as_the_model_reads_them(model, chats, options, prompts, messages):
    policy = model(chats=chats, write=lambda text: ["The answer is 5.\n"])
    chain = RStarChain(policy, task="gsm8k", settings={"num_rollouts": 1}, **options)
    assert chain.invoke(QUESTION).prompts == prompts
    assert {len(request.state.messages) for request in asked(policy)} == messages


def undecided(text: str) -> list[str]:
    """Two answers, so that a verifier is needed."""
    ends = ["The answer is 5.\n", "The answer is 6.\n"]
    return ends if "2 + 3" in text else [f"2 + 3 = 5\n{end}" for end in ends]


@pytest.mark.parametrize("verifying", ["qstar", "rstar"])
def test_a_verifier_is_asked_as_it_is_itself(model, verifying):
    policy, verifier = model(write=undecided), model(chats=False)
    if verifying == "qstar":
        settings: Any = {"num_trajectories": 2, "num_samples": 2, "verify": "after"}
        chain: Any = QStarChain(
            policy, ScriptedScorer({}), task="gsm8k", settings=settings, verifier=verifier
        )
    else:
        chain = RStarChain(policy, verifier, task="gsm8k", settings={"num_rollouts": 4})
    chain.invoke(QUESTION)
    assert asked(verifier)
    assert all("\n\n\nProblem: " in each.state.messages[0][1] for each in asked(verifier))
    assert not any("\n\n\nProblem: " in each.state.messages[0][1] for each in asked(policy))


def test_a_contradiction_is_told_when_the_chain_is_made(model):
    for make in (QStarChain, RStarChain, GreedyChain):
        with pytest.raises(SettingsError, match="shots=99"):
            make(model(), task="gsm8k", shots=99)
    with pytest.raises(SettingsError, match="has messages of its own"):
        GreedyChain(model(), task="nano", prompts="few-shot")


def test_nano_is_asked_as_ever(model):
    chain = GreedyChain(model(chats=False), task="nano")
    assert chain.invoke(QUESTION).prompts == ""


def test_a_stored_search_says_the_same_and_is_not_gone_on_with_otherwise(model):
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "a"}}

    def chain(**options: Any) -> QStarChain:
        return QStarChain(
            model(),
            ScriptedScorer({}),
            task="gsm8k",
            settings={"num_trajectories": 1, "interrupt": ["answer"]},
            checkpointer=saver,
            **options,
        )

    waiting = chain(shots=2).invoke(QUESTION, config)
    assert (waiting.stopped, waiting.prompts) == ("interrupted", "few-shot (2)")
    with pytest.raises(ThreadError, match=r"prompts='few-shot \(2\)' \(here 'zero-shot'\)"):
        chain().invoke(QUESTION, config)
    assert chain(shots=2).resume("a", "approve").prompts == "few-shot (2)"
