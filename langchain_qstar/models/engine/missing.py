"""Which segments must be read before work can go on, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from langchain_qstar.models.engine.backend import Backend
from langchain_qstar.models.engine.jobs import Want
from langchain_qstar.models.engine.kv_tree import Node


def lacking(want: Want, backend: Backend) -> list[Node]:
    """Nodes that must be read before work on `want` can go on, from the top."""
    path = want.leaf.path()
    needed = {node for node in path if node.state is None}
    needed.update(_incomplete(want, backend))
    return [node for node in path if node in needed]


def _incomplete(want: Want, backend: Backend) -> Iterator[Node]:
    """Nodes that were read, but without what is now wanted of them."""
    leaf = want.leaf
    if (want.rows or want.logits) and not backend.can_start(leaf.state):
        yield leaf
    if want.layers and backend.hidden(leaf.state, want.layers) is None:
        yield leaf
    for node in want.scored():
        if node.logprobs is None:
            yield node
            # The log-probability of its first token comes from the one before.
            if node.parent is not None and not backend.can_start(node.parent.state):
                yield node.parent


def chains_of(missing: Iterable[Node], budget: int) -> list[list[Node]]:
    """Sequences of missing nodes that can be read now, of at most `budget` tokens in all."""
    nodes = set(missing)
    below: dict[Node, list[Node]] = {}
    for node in missing:
        if node.parent in nodes and node.parent is not None:
            below.setdefault(node.parent, []).append(node)
    chains: list[list[Node]] = []
    for node in missing:
        if node.parent in nodes:
            continue
        chain = [node]
        while len(below.get(chain[-1], ())) == 1:
            chain.append(below[chain[-1]][0])
        budget -= sum(len(each.tokens) for each in chain)
        if chains and budget < 0:
            break
        chains.append(chain)
    return chains
