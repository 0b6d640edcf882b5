"""Records as a search writes them."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_qstar.tree import NodeRecord


@pytest.fixture
def record():
    """Makes the record of a step; only what a trace reads of it matters."""

    def make(action: str, text: str, subquestion: str | None = None) -> NodeRecord:
        fields: dict[str, Any] = {"action": action} | written(text)
        if subquestion is not None:
            fields["subquestion"] = written(subquestion)
        return fields  # type: ignore[return-value]

    return make


def written(text: str) -> dict[str, Any]:
    return {"text": text, "token_ids": [len(text), 7], "logprobs": [-0.5, 0.0]}
