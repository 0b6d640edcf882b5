from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.nodes.frontier import Frontier, entry, is_open, place, pop, push, rebuild


def tree(*fs: float, **settings: Any) -> tuple[Any, Any]:
    """A root that was popped, and open children with these f."""
    nodes: dict[str, Any] = {"0": {"order": 0, "key": "root", "run": {"settings": settings}}}
    stats: dict[str, Any] = {"0": {"f": 0.0, "popped": 0}}
    for number, f in enumerate(fs):
        nodes[f"0.{number}"] = {"order": number + 1, "key": f"key {number}"}
        stats[f"0.{number}"] = {"f": f}
    return nodes, stats


def test_a_state_is_open_from_its_f_to_its_pop():
    stats: Any = {
        "sampled": {},
        "scored": {"q": 0.5},
        "open": {"f": 0.5},
        "shut": {"f": 1, "popped": 1},
    }
    assert [each for each in [*stats, "unknown"] if is_open(stats, each)] == ["open"]


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1))
def test_a_rebuilt_frontier_pops_as_the_one_that_grew(fs: list[float]):
    nodes, stats = tree(*fs)
    rebuilt = rebuild(nodes, stats)
    grown = Frontier([], {})
    for number in range(len(fs)):
        grown = push(grown, [entry(nodes, stats, f"0.{number}")])
    order = [pop(rebuilt) for _ in fs]
    assert order == [pop(grown) for _ in fs]
    assert order == sorted(order, key=lambda each: (-stats[each]["f"], nodes[each]["order"]))


def test_a_push_leaves_the_earlier_frontier_alone():
    nodes, stats = tree(0.5, 0.7)
    before = Frontier([entry(nodes, stats, "0.0")], {})
    after = push(before, [entry(nodes, stats, "0.1")])
    assert (len(before.heap), len(after.heap)) == (1, 2)


def test_a_rebuilt_frontier_knows_every_state():
    nodes, stats = tree(0.5, 0.7)
    assert rebuild(nodes, stats).known == {"root": "0", "key 0": "0.0", "key 1": "0.1"}


@pytest.mark.parametrize(("bias", "first"), [(0.0, "0.0"), (0.05, "0.0"), (0.2, "0.1.0")])
def test_a_depth_bias_makes_the_deeper_of_nearly_equal_states_the_next(bias: float, first: str):
    nodes, stats = tree(0.6, 0.5, depth_bias=bias)
    nodes["0.1.0"] = {"order": 3, "key": "deep"}
    stats["0.1.0"] = {"f": 0.5}
    assert pop(rebuild(nodes, stats)) == first
    assert place(nodes, stats, "0.1.0")[0] == -0.5  # what is returned is chosen without it
