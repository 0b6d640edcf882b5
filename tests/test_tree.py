from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.tree import (
    NodeRecord,
    child_id,
    children,
    depth,
    lineage,
    path,
    state_key,
    trajectory,
)


def record(node_id: str, text: str) -> NodeRecord:
    parent, dot, _ = node_id.rpartition(".")
    more: Any = {"id": node_id, "parent": parent if dot else None, "text": text}
    return more  # type: ignore[no-any-return]


NODES = {
    each: record(each, text)
    for each, text in {"0": "", "0.0": "a\n", "0.1": "b\n", "0.1.0": "c\n"}.items()
}


def test_an_id_says_where_its_node_is():
    assert child_id("0.1", 3) == "0.1.3"
    assert lineage("0.1.3") == ["0", "0.1", "0.1.3"]
    assert [depth(each) for each in ("0", "0.1", "0.1.3")] == [0, 1, 2]


def test_a_path_leaves_out_the_root():
    assert [each["id"] for each in path(NODES, "0.1.0")] == ["0.1", "0.1.0"]
    assert path(NODES, "0") == []


def test_a_trajectory_is_the_steps_joined_in_order():
    assert trajectory(NODES, "0.1.0") == "b\nc\n"
    assert trajectory(NODES, "0") == ""


def test_children_come_in_order():
    assert list(children(NODES, "0")) == ["0.0", "0.1"]
    assert list(children(NODES, "0.0")) == []


def test_ten_children_and_more_are_found():
    nodes = {each: record(each, "") for each in ["0", *(f"0.{n}" for n in range(12))]}
    assert list(children(nodes, "0"))[-1] == "0.11"


def test_states_with_the_same_text_share_a_key_whatever_their_last_line_ends_with():
    assert state_key("a\nb\n") == state_key("a\nb") == state_key("a\nb \n\n")


def test_indentation_makes_another_state():
    assert state_key("if x:\n    y\n") != state_key("if x:\ny\n")


@given(st.text(), st.text())
def test_only_equal_texts_share_a_key(one: str, other: str):
    assert (state_key(one) == state_key(other)) == (one.rstrip() == other.rstrip())
