"""What a model has read so far, as a tree of token segments, so that nothing is read twice.

A node is a segment of tokens below its parent and what the backend keeps for it
(keys and values, the logits after its last token). Branches that a search drew
become nodes as they are; prompts become nodes where they part from each other,
so a prefix shared by many questions is one node.

The tree looks at token ids only, never at text, and at the backend's states
only through their size. It is used from one thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

SHARED: Final = 16
"""Least number of tokens that a new segment must share with an old one to have
the two parted. Fewer are read again: a forward pass of their own costs more."""

Split = Callable[[Any, int], tuple[Any, Any] | None]
"""`(state, n)`: the states of the first n tokens and of the rest; None if it cannot be parted."""


@dataclass(eq=False, slots=True)
class Node:
    """A segment of tokens under `parent`.

    `length` counts the tokens from the start to the end of this segment.
    `state` is the backend's, None until it was read or when it was evicted;
    `size` its bytes. `logprobs` are the natural-log probabilities of `tokens`
    under the untempered model, once known. `pins` counts the work that needs
    the path down to this node.
    """

    parent: Node | None
    tokens: tuple[int, ...]
    length: int
    state: Any = None
    size: int = 0
    logprobs: tuple[float, ...] | None = None
    pins: int = 0
    children: dict[int, list[Node]] = field(default_factory=dict)
    """By their first token."""

    def path(self) -> list[Node]:
        """The segments from the start to this one, without the empty root."""
        nodes: list[Node] = []
        node = self
        while node.parent is not None:
            nodes.append(node)
            node = node.parent
        nodes.reverse()
        return nodes

    def ids(self) -> list[int]:
        """All tokens from the start to the end of this segment."""
        return [token for node in self.path() for token in node.tokens]


class KVTree:
    """Segments by what they say; least recently used ones leave when `budget` bytes are exceeded.

    A pinned path stays whatever it takes. Since a path is used from its end up,
    a segment never leaves before those below it.
    """

    def __init__(self, budget: int, split: Split) -> None:
        """Start empty.

        Args:
            budget: Most bytes of states.
            split: How the backend parts a state.
        """
        self.root = Node(None, (), 0)
        self.budget = budget
        self.bytes = 0
        self.evictions = 0
        self._split_state = split
        self._used: OrderedDict[Node, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used)

    def extend(self, ids: Sequence[int], below: Node | None = None) -> Node:
        """The node where `ids` end below `below` (default the root), made if it is new.

        A new node holds no state yet; pin it, or it may vanish with `release`.
        """
        node = below or self.root
        at = 0
        while at < len(ids):
            known = _longest_match(node, ids, at)
            if known is None:
                node, at = self._part(node, ids, at)
            else:
                node, at = known, at + len(known.tokens)
        return node

    def attach(self, parent: Node, tokens: tuple[int, ...], state: Any, size: int) -> Node:
        """The child of `parent` that says `tokens`, given its state if it has none."""
        known = _longest_match(parent, tokens, 0)
        if known is None or known.tokens != tokens:
            known = self._add(parent, tokens)
        if known.state is None:
            self.store(known, state, size)
        self.touch(known)
        return known

    def store(self, node: Node, state: Any, size: int) -> None:
        """Give `node` its state, in place of any older one."""
        self.bytes += size - node.size
        node.state, node.size = state, size
        self._used[node] = None

    def touch(self, node: Node) -> None:
        """Mark the path down to `node` as just used."""
        here: Node | None = node
        while here is not None:
            if here in self._used:
                self._used.move_to_end(here)
            here = here.parent

    def pin(self, node: Node) -> None:
        """Keep the path down to `node` until `release`."""
        for each in _upwards(node):
            each.pins += 1
        self.touch(node)

    def release(self, node: Node) -> None:
        """Undo one `pin`; segments that were never read go when nobody waits for them."""
        for each in list(_upwards(node)):
            each.pins -= 1
            if not each.pins and each.state is None and not each.children:
                self._remove(each)

    def evict(self, crowded: Callable[[], bool] = lambda: False) -> None:
        """Let the least recently used segments go until the rest fits the budget.

        Args:
            crowded: Whether more must go, for a reason that the backend knows.
        """
        while self.bytes > self.budget or crowded():
            leaves = (node for node in self._used if not node.pins and not node.children)
            oldest = next(leaves, None)
            if oldest is None:
                return
            self._remove(oldest)
            self.evictions += 1

    def forget(self, leaf: Node) -> bool:
        """Drop all states but those down to `leaf`, pinned or not; they can be read again.

        Returns:
            Whether there were any.
        """
        path = set(leaf.path())
        others = [node for node in self._used if node not in path]
        for node in others:
            self.bytes -= node.size
            node.state, node.size = None, 0
            del self._used[node]
        self.evictions += len(others)
        for node in others:
            if not node.pins and not node.children and _is_held(node):
                self._prune(node)
        return bool(others)

    def _prune(self, node: Node) -> None:
        """Remove a node that holds nothing, and those above it that are of no use then."""
        while node.parent is not None and not (node.pins or node.children or node.state):
            parent = node.parent
            self._remove(node)
            node = parent

    def clear(self) -> None:
        """Forget everything."""
        self.root = Node(None, (), 0)
        self._used.clear()
        self.bytes = 0

    def _part(self, parent: Node, ids: Sequence[int], at: int) -> tuple[Node, int]:
        """A new segment of `ids[at:]`, or the beginning of it that an old one shares."""
        siblings = parent.children.get(ids[at], [])
        alike = [(_shared(sibling.tokens, ids, at), sibling) for sibling in siblings]
        shared, sibling = max(alike, key=lambda each: each[0], default=(0, None))
        if sibling is None or shared < SHARED:
            return self._add(parent, tuple(ids[at:])), len(ids)
        head = self._split(sibling, shared) or self._add(parent, tuple(ids[at : at + shared]))
        return head, at + shared

    def _split(self, node: Node, count: int) -> Node | None:
        """Make the first `count` tokens of `node` its parent; None if its state forbids it."""
        states = (None, None) if node.state is None else self._split_state(node.state, count)
        if states is None:
            return None
        parent = node.parent
        assert parent is not None
        siblings = parent.children[node.tokens[0]]
        head = Node(parent, node.tokens[:count], parent.length + count, pins=node.pins)
        siblings[siblings.index(node)] = head
        node.parent, node.tokens = head, node.tokens[count:]
        head.children[node.tokens[0]] = [node]
        if node.logprobs is not None:
            head.logprobs, node.logprobs = node.logprobs[:count], node.logprobs[count:]
        if node.state is not None:
            share = node.size * count // (count + len(node.tokens))
            self.store(node, states[1], node.size - share)
            self.store(head, states[0], share)
        return head

    def _add(self, parent: Node, tokens: tuple[int, ...]) -> Node:
        node = Node(parent, tokens, parent.length + len(tokens))
        parent.children.setdefault(tokens[0], []).append(node)
        return node

    def _remove(self, node: Node) -> None:
        parent = node.parent
        assert parent is not None
        siblings = parent.children[node.tokens[0]]
        siblings.remove(node)
        if not siblings:
            del parent.children[node.tokens[0]]
        self.bytes -= node.size
        node.state, node.size = None, 0
        self._used.pop(node, None)


def _is_held(node: Node) -> bool:
    """Whether `node` is still in the tree; it may have gone with one below it."""
    parent = node.parent
    return parent is not None and node in parent.children.get(node.tokens[0], ())


def _upwards(node: Node) -> Iterator[Node]:
    """`node` and what is above it, without the root."""
    here = node
    while here.parent is not None:
        yield here
        here = here.parent


def _longest_match(parent: Node, ids: Sequence[int], at: int) -> Node | None:
    """The longest child whose whole segment stands at `ids[at:]`."""
    matches = [
        child
        for child in parent.children.get(ids[at], ())
        if tuple(ids[at : at + len(child.tokens)]) == child.tokens
    ]
    return max(matches, key=lambda child: len(child.tokens), default=None)


def _shared(tokens: tuple[int, ...], ids: Sequence[int], at: int) -> int:
    """How many tokens at the start of `tokens` stand at `ids[at:]`."""
    count = 0
    for mine, other in zip(tokens, ids[at:], strict=False):
        if mine != other:
            break
        count += 1
    return count
