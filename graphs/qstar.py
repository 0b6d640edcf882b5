"""What LangGraph Server and Studio deploy: Q*, with models named by the environment.

`QSTAR_POLICY`, `QSTAR_Q_MODEL` and `QSTAR_TASK` take what `QStarChain` takes as
strings; without them it is the bundled model. The context of an assistant or a run may
hold any setting of `QStarSettings`. The server brings its own checkpointer. Nothing
is loaded before the graph is first asked for, and then in a thread: the server's event
loop must not wait.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph


async def graph(config: Mapping[str, Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled machine for a run with this config."""
    return await asyncio.to_thread(_made, config.get("configurable") or {})


def _made(configurable: Mapping[str, Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    from langchain_qstar.chains.deployed import deployed_qstar

    return deployed_qstar(os.environ, configurable)
