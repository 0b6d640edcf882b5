"""What LangGraph Server and Studio deploy: Q*, with models named by the environment.

`QSTAR_POLICY`, `QSTAR_Q_MODEL` and `QSTAR_TASK` take what `QStarChain` takes as
strings; without them it is the bundled model. The context of an assistant or a run may
hold any setting of `QStarSettings`. The server brings its own checkpointer, and nothing
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
    from langchain_qstar.chains.deployed import deployed_qstar

    return deployed_qstar(os.environ, config.get("configurable") or {})
