"""What LangGraph Server and Studio deploy: rStar, with models named by the environment.

`QSTAR_POLICY`, `QSTAR_VERIFIER` and `QSTAR_TASK` take what `RStarChain` takes as
strings; without them it is the bundled model. The context of an assistant or a run may
hold any setting of `RStarSettings`. The server brings its own checkpointer. Nothing
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
    from langchain_qstar.chains.deployed import deployed_rstar

    return deployed_rstar(os.environ, configurable)
