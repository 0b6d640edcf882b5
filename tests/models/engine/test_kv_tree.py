from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar.models.engine.kv_tree import SHARED, KVTree


def parts(state, count):
    return state[:count], state[count:]


@pytest.fixture
def tree():
    return KVTree(10**9, parts)


def read(tree, node):
    """Give every segment down to `node` its own tokens as its state, a byte each."""
    for each in node.path():
        if each.state is None:
            tree.store(each, each.tokens, len(each.tokens))
    return node


def segments(node):
    return [each.tokens for each in node.path()]


def test_a_path_is_one_segment_until_another_one_parts_from_it(tree):
    few_shot = tuple(range(100, 100 + SHARED))
    first = read(tree, tree.extend((*few_shot, 1, 2)))
    assert segments(first) == [(*few_shot, 1, 2)]
    second = tree.extend((*few_shot, 3))
    assert segments(first) == [few_shot, (1, 2)]
    assert segments(second) == [few_shot, (3,)]
    assert [each.state for each in second.path()] == [few_shot, None]
    assert (first.state, tree.bytes) == ((1, 2), SHARED + 2)


def test_segments_that_nobody_has_read_part_as_well(tree):
    few_shot = tuple(range(100, 100 + SHARED))
    first, second = tree.extend((*few_shot, 1)), tree.extend((*few_shot, 2))
    assert first.parent is second.parent
    assert first.parent.tokens == few_shot


def test_a_short_common_beginning_is_not_worth_a_segment(tree):
    first, second = tree.extend((1, 2, 3)), tree.extend((1, 2, 4))
    assert [segments(first), segments(second)] == [[(1, 2, 3)], [(1, 2, 4)]]
    assert first.parent is second.parent is tree.root


def test_the_same_tokens_are_the_same_node(tree):
    node = tree.extend((1, 2, 3))
    assert tree.extend([1, 2, 3]) is node
    below = tree.extend((4, 5), node)
    assert tree.extend((1, 2, 3, 4, 5)) is below
    assert (below.length, below.ids()) == (5, [1, 2, 3, 4, 5])


def test_the_longest_known_segment_is_followed(tree):
    root = read(tree, tree.extend((9,)))
    tree.attach(root, (1,), (1,), 1)
    longer = tree.attach(root, (1, 2), (1, 2), 2)
    assert tree.extend((9, 1, 2, 3)).parent is longer


def test_a_branch_that_is_known_keeps_its_state(tree):
    root = read(tree, tree.extend((9,)))
    first = tree.attach(root, (1, 2), "old", 2)
    assert tree.attach(root, (1, 2), "new", 2) is first
    assert (first.state, tree.bytes) == ("old", 3)


def test_a_branch_that_is_drawn_again_was_just_used():
    tree = KVTree(4, parts)
    first = tree.attach(tree.root, (1, 1), (), 2)
    tree.attach(tree.root, (2, 2), (), 2)
    tree.attach(tree.root, (1, 1), (), 2)
    tree.attach(tree.root, (3, 3), (), 2)
    tree.evict()
    assert tree.extend((1, 1)) is first


def test_a_state_that_cannot_be_parted_is_read_again_beside_it():
    tree = KVTree(10**9, lambda state, count: None)
    few_shot = tuple(range(100, 100 + SHARED))
    first = read(tree, tree.extend((*few_shot, 1)))
    second = tree.extend((*few_shot, 2))
    assert segments(first) == [(*few_shot, 1)]
    assert segments(second) == [few_shot, (2,)]
    third = tree.extend((*few_shot, 3))
    assert third.parent is second.parent


def test_the_least_recently_used_leaf_leaves_first():
    tree = KVTree(6, parts)
    root = read(tree, tree.extend((0, 0)))
    first = tree.attach(root, (1, 1), (), 2)
    second = tree.attach(root, (2, 2), (), 2)
    tree.touch(first)
    third = tree.attach(root, (3, 3), (), 2)
    tree.evict()
    assert tree.bytes == 6
    assert second.state is None
    assert (root.state, first.state, third.state) == ((0, 0), (), ())
    assert tree.evictions == 1


def test_a_pinned_path_stays_whatever_it_takes():
    tree = KVTree(0, parts)
    leaf = tree.extend((1, 2), read(tree, tree.extend((0,))))
    tree.pin(leaf)
    read(tree, leaf)
    tree.evict()
    assert tree.bytes == 3
    tree.release(leaf)
    tree.evict()
    assert (tree.bytes, len(tree), tree.root.children) == (0, 0, {})


def test_a_part_of_a_pinned_segment_is_pinned(tree):
    few_shot = tuple(range(100, 100 + SHARED))
    first = tree.extend((*few_shot, 1))
    tree.pin(first)
    read(tree, first)
    second = tree.extend((*few_shot, 2))
    tree.pin(second)
    tree.release(second)
    tree.budget = 0
    tree.evict()
    assert all(each.state for each in first.path())
    tree.release(first)
    tree.evict()
    assert not tree.bytes


def test_what_was_never_read_goes_when_nobody_waits_for_it(tree):
    leaf = tree.extend((1, 2, 3))
    tree.pin(leaf)
    tree.pin(leaf)
    tree.release(leaf)
    assert tree.extend((1, 2, 3)) is leaf
    tree.release(leaf)
    assert not tree.root.children


def test_log_probabilities_are_parted_with_their_tokens(tree):
    few_shot = tuple(range(100, 100 + SHARED))
    first = read(tree, tree.extend((*few_shot, 1, 2)))
    first.logprobs = tuple(-float(n) for n in range(SHARED + 2))
    tree.extend((*few_shot, 3))
    assert first.logprobs == (-float(SHARED), -float(SHARED + 1))
    assert first.parent.logprobs == tuple(-float(n) for n in range(SHARED))


@given(
    paths=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=60), max_size=12),
    budget=st.integers(0, 200),
)
def test_any_paths_read_as_they_were_written_and_bytes_add_up(paths, budget):
    tree = KVTree(budget, parts)
    for ids in paths:
        node = tree.extend(ids)
        tree.pin(node)
        read(tree, node)
        assert node.ids() == ids
        assert [each.state for each in node.path()] == segments(node)
        tree.release(node)
        tree.evict()
        assert tree.bytes <= budget
    kept, todo = 0, [tree.root]
    while todo:
        node = todo.pop()
        children = [child for siblings in node.children.values() for child in siblings]
        assert all(child.parent is node for child in children)
        assert all(child.length == node.length + len(child.tokens) for child in children)
        kept += sum(len(child.tokens) for child in children if child.state is not None)
        todo += children
    assert kept == tree.bytes


def test_forgetting_a_segment_may_take_those_above_it_along(tree):
    kept, above = read(tree, tree.extend((9, 9))), read(tree, tree.extend((1, 2)))
    read(tree, tree.extend((3, 4), above))
    tree.touch(above)  # so that the one below comes first, and leaves the upper one bare
    assert tree.forget(kept)
    assert (list(tree.root.children), tree.bytes) == ([9], 2)
