"""What LangGraph Server and Studio deploy: rStar, with models named by the environment.

`QSTAR_POLICY`, `QSTAR_VERIFIER` and `QSTAR_TASK` take what `RStarChain` takes as
strings; without them it is the bundled model. The server brings its own
checkpointer, and nothing is loaded before the graph is first asked for.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph


@cache
def graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled machine, made once."""
    from langchain_qstar.chains import RStarChain

    return RStarChain(
        policy=os.environ.get("QSTAR_POLICY", "nano"),
        verifier=os.environ.get("QSTAR_VERIFIER"),
        task=os.environ.get("QSTAR_TASK"),
    ).graph
