"""The reducers: pure, and indifferent to how writes are batched."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.state.channels import add_usage, put_nodes, put_stats

ids = st.sampled_from(["0", "0.0", "0.1", "0.1.0"])
learnt = st.fixed_dictionaries(
    {}, optional={"visits": st.integers(0, 3), "q": st.floats(0, 1), "popped": st.integers(0, 9)}
)
stat_writes = st.lists(st.dictionaries(ids, learnt, max_size=3), max_size=5)
node_writes: st.SearchStrategy[Any] = st.lists(
    st.dictionaries(ids, st.builds(dict, text=st.text()), max_size=3)
)


@given(stat_writes, stat_writes)
def test_stats_do_not_depend_on_how_writes_are_batched(first: Any, second: Any):
    assert put_stats(put_stats({}, first), second) == put_stats({}, first + second)


@given(node_writes, node_writes)
def test_nodes_do_not_depend_on_how_writes_are_batched(first: Any, second: Any):
    assert put_nodes(put_nodes({}, first), second) == put_nodes({}, first + second)


@given(stat_writes, stat_writes)
def test_stats_are_copied_never_changed(first: Any, second: Any):
    before = put_stats({}, first)
    kept, written = copy.deepcopy(before), copy.deepcopy(second)
    put_stats(before, second)
    assert before == kept
    assert second == written


@given(node_writes, node_writes)
def test_nodes_are_copied_never_changed(first: Any, second: Any):
    before = put_nodes({}, first)
    kept = copy.deepcopy(before)
    put_nodes(before, second)
    assert before == kept


def test_visits_add_and_the_rest_is_put():
    stats = put_stats({"0": {"visits": 1, "f": 0.5}}, [{"0": {"visits": 2, "q": 0.1}}])
    assert stats == {"0": {"visits": 3, "f": 0.5, "q": 0.1}}


def test_nodes_keep_their_order_of_insertion():
    nodes: Any = put_nodes({}, [{"0": {}}, {"0.1": {}, "0.0": {}}])  # type: ignore[typeddict-item]
    assert list(nodes) == ["0", "0.1", "0.0"]


def test_usage_adds_up_and_a_missing_count_is_0():
    assert add_usage({"calls": 1}, {"calls": 2, "pops": 1}) == {"calls": 3, "pops": 1}
