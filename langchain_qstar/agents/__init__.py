"""Search inside agents: as a tool, as middleware, as a chat model.

Names load when they are used: only `QStarMiddleware` needs the extra `agents`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from langchain_qstar.agents.chat import ChatQStar
    from langchain_qstar.agents.middleware import QStarMiddleware
    from langchain_qstar.agents.tool import create_qstar_tool

__all__ = ["ChatQStar", "QStarMiddleware", "create_qstar_tool"]

_HOMES: Final = {
    "ChatQStar": "chat",
    "QStarMiddleware": "middleware",
    "create_qstar_tool": "tool",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
