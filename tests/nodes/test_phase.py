from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from langgraph.runtime import RunControl

from langchain_qstar.nodes import phase
from langchain_qstar.nodes.phase import Call, Phase, Update


@pytest.fixture(autouse=True)
def outside_a_graph(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where events go."""
    events: list[Any] = []
    monkeypatch.setattr(phase, "get_stream_writer", lambda: events.append)
    monkeypatch.setattr(phase, "_control", RunControl)
    return events


def twice(number: int) -> Call:
    async def later() -> int:
        await asyncio.sleep(0)
        return 2 * number

    return Call(lambda: 2 * number, later)


def doubling(view: Any, write: Any) -> Generator[Call, Any, Update]:
    first = yield twice(view["number"])
    write(first)
    second = yield twice(first)
    return {"number": second}


async def test_each_call_is_run_and_its_result_sent_back(outside_a_graph: list[Any]):
    node = Phase("doubling", doubling)
    assert node.invoke({"number": 3}) == {"number": 12}
    assert await node.ainvoke({"number": 3}) == {"number": 12}
    assert outside_a_graph == [6, 6]


async def test_a_node_that_calls_no_model_returns_at_once():
    node = Phase("plain", lambda view, _: {"number": view["number"] + 1})
    assert node.invoke({"number": 3}) == {"number": 4}
    assert await node.ainvoke({"number": 3}) == {"number": 4}


async def test_an_error_of_a_call_is_raised_as_it_is():
    def failing(view: Any, _: Any) -> Generator[Call, Any, Update]:
        def fail() -> Any:
            raise KeyError(view["number"])

        async def afail() -> Any:
            fail()

        yield Call(fail, afail)
        return {}

    node = Phase("failing", failing)
    with pytest.raises(KeyError):
        node.invoke({"number": 3})
    with pytest.raises(KeyError):
        await node.ainvoke({"number": 3})
