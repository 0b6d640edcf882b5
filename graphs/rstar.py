"""What LangGraph Server and Studio deploy: rStar, with models named by the environment.

`QSTAR_POLICY`, `QSTAR_VERIFIER` and `QSTAR_TASK` take what `RStarChain` takes as
strings; without them it is the bundled model. The context of an assistant or a run may
hold any setting of `RStarSettings`. The server brings its own checkpointer, and nothing
is loaded before the graph is first asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph


def graph(config: Mapping[str, Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled machine for a run with this config."""
    from langchain_qstar.chains.deployed import deployed_rstar

    return deployed_rstar(os.environ, config.get("configurable") or {})
