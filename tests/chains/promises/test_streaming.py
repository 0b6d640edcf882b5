"""However a machine is called, its solution is the same; its stream tells what happens."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

from langgraph.checkpoint.memory import InMemorySaver

from langchain_qstar.solution import Solution
from langchain_qstar.state.events import SearchEvent

DOCUMENTED = {
    kind for each in get_args(SearchEvent) for kind in get_args(get_type_hints(each)["type"])
}


def same(solution: Solution) -> Solution:
    """Without how long it took."""
    return solution.model_copy(update={"seconds": 0.0})


async def test_every_form_of_call_gives_the_same_solution(make):
    expected = same(make().invoke("q"))
    assert expected.answer
    assert same(make().batch(["q"])[0]) == expected
    assert same(list(make().stream("q"))[-1]) == expected
    assert same(await make().ainvoke("q")) == expected
    assert same((await make().abatch(["q"]))[0]) == expected
    assert same([item async for item in make().astream("q")][-1]) == expected
    stored = {"configurable": {"thread_id": "t"}}
    assert same(make(None, InMemorySaver()).invoke("q", stored)) == expected
    assert same(Solution.model_validate_json(expected.model_dump_json())) == expected


async def test_the_beats_of_a_stream_are_the_same_stored_or_not_and_awaited_or_not(make):
    def beats(items: list[Any]) -> list[str]:
        return [each["type"] for each in items[:-1]]

    plain = beats(list(make().stream("q")))
    thread = {"configurable": {"thread_id": "t"}}
    assert beats(list(make(None, InMemorySaver()).stream("q", thread))) == plain
    assert sorted(beats([each async for each in make().astream("q")])) == sorted(plain)
    assert len(plain) > 5
    assert set(plain) <= DOCUMENTED
