"""What a tracer records of a node: what it was about and what it wrote, never the whole tree.

A search of a thousand expansions would otherwise post its tree a thousand times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langgraph.types import Command, Overwrite, TracePolicy

DERIVED: Final = frozenset({"work", "frontier"})
TREE: Final = frozenset({"nodes", "stats"})
TOKENS: Final = frozenset({"token_ids", "logprobs"})
"""Of a node's record: nothing a person reads, and most of its bytes."""


def traced_input(view: Mapping[str, Any]) -> dict[str, Any]:
    """What a node reads, with the ids of the states in work for the work, without the tree."""
    small = {key: _shown(key, value) for key, value in view.items() if key not in DERIVED | TREE}
    work = view.get("work")
    if work is None:
        return small
    if isinstance(work, Mapping):  # rStar's
        return small | {"expanding": [each["id"] for each in work["expansions"]]}
    return small | {"popped": list(work.popped)}


def traced_output(output: Mapping[str, Any] | Command[Any]) -> dict[str, Any]:
    """What a node writes, without what is derived from the tree, and steps without tokens."""
    update = output.update if isinstance(output, Command) else output
    small = {key: value for key, value in dict(update or {}).items() if key not in DERIVED}
    for key in ("nodes", "preface"):
        small |= {key: _written(small[key])} if key in small else {}
    if isinstance(small.get("nodes"), Mapping):
        small["nodes"] = {each: _readable(record) for each, record in small["nodes"].items()}
    return {key: _shown(key, value) for key, value in small.items()}


def _written(value: Any) -> Any:
    return value.value if isinstance(value, Overwrite) else value


def _readable(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _shown(key, value) for key, value in record.items() if key not in TOKENS}


def _shown(key: str, value: Any) -> Any:
    """Of images and earlier turns how many; they are large, and the same in every node."""
    if key in ("images", "turns") and isinstance(value, Sequence):
        return len(value)
    if key in ("run", "preface", "solution") and isinstance(value, Mapping):
        return {name: _shown(name, each) for name, each in value.items()}
    return value


TRACE: Final = TracePolicy(process_inputs=traced_input, process_outputs=traced_output)
