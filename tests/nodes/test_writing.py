"""Tokens of the steps being written, as events."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import pytest

from langchain_qstar.chains import QStarChain, RStarChain
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.models.scripted import ScriptedPolicy

QUESTION = "Ann has 3 boxes with 4 pens each. How many pens does Ann have?"
ASKED: Any = {"configurable": {"stream_tokens": True}}


def events(chain: Any, config: Any, form: str) -> list[Any]:
    async def drawn() -> list[Any]:
        return [each async for each in chain.astream(QUESTION, config)]

    return asyncio.run(drawn()) if form == "astream" else list(chain.stream(QUESTION, config))


@pytest.mark.nano
@pytest.mark.parametrize("form", ["stream", "astream"])
def test_the_pieces_of_a_batch_join_to_the_steps_that_are_proposed(form: str):
    chain = QStarChain(settings={"num_samples": 3, "max_pops": 3, "fallback": False})
    *told, _ = events(chain, ASKED, form)
    written: dict[tuple[int, int], str] = defaultdict(str)
    proposals = 0
    for event in told:
        if event["type"] == "writing":
            assert event["node"] == "propose_step"
            written[event["request"], event["sample"]] += event["text"]
        elif event["type"] == "proposed":
            steps = {node["text"] for node in event["nodes"]}
            assert steps <= set(written.values())
            assert len(written) == 3
            written.clear()
            proposals += 1
    assert proposals


@pytest.mark.nano
def test_a_search_that_is_asked_for_tokens_is_the_same_search():
    chain = QStarChain(settings={"num_samples": 3, "max_pops": 3})
    assert chain.invoke(QUESTION, ASKED).tree == chain.invoke(QUESTION).tree
    assert not [e for e in events(chain, {}, "stream")[:-1] if e["type"] == "writing"]


@pytest.mark.nano
def test_the_actions_of_rstar_are_heard_too():
    chain = RStarChain(settings={"num_rollouts": 1, "max_depth": 3})
    *told, _ = events(chain, ASKED, "stream")
    assert {"propose_step", "subquestion"} <= {e["node"] for e in told if e["type"] == "writing"}


def test_a_model_that_cannot_tell_is_asked_as_ever():
    chain = QStarChain(ScriptedPolicy({"": ["The answer is 7.\n"]}), None, task="gsm8k")
    *told, solution = events(chain, ASKED, "stream")
    assert solution.tree
    assert "writing" not in {event["type"] for event in told}


@pytest.mark.nano
def test_what_is_heard_joins_to_the_completions():
    from langchain_qstar.protocols import Listener, SampleRequest, State

    policy: Any = resolve_policy("nano")
    state = State(QUESTION, (("user", QUESTION),))
    requests = [
        SampleRequest(state, seeds=(1, 2), stop=("\n",), max_tokens=30),
        SampleRequest(state, seeds=(3,), stop=(), max_tokens=12),
    ]
    heard: dict[tuple[int, int], list[str]] = defaultdict(list)
    listener = Listener(lambda *piece: heard[piece[:2]].append(piece[2]))
    groups = policy.sample_aloud(requests, listener)
    assert groups == policy.sample(requests)
    texts = {place: "".join(pieces) for place, pieces in heard.items()}
    assert texts == {
        (0, 0): groups[0][0].text,
        (0, 1): groups[0][1].text,
        (1, 0): groups[1][0].text,
    }
    assert all(len(pieces) > 2 for pieces in heard.values())
