"""Making what a chat model calls a part of the chat model's own run.

LangChain hands `_generate` the run it belongs to, and `_stream` none. So a model
that calls others names its run when a stream starts, and `_stream` finds it here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from langchain_core.callbacks import CallbackManager
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.messages import LC_ID_PREFIX
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, get_callback_manager_for_config
from langchain_core.utils.uuid import uuid7

from langchain_qstar.nodes.model_runs import COUNTED_ABOVE

Item = TypeVar("Item")

_STREAMING: ContextVar[RunnableConfig | None] = ContextVar("_STREAMING", default=None)


def config_below(run_manager: BaseRunManager | None) -> RunnableConfig | None:
    """The config under which calls become children of a chat model's run.

    Args:
        run_manager: What `_generate` or `_stream` was given.

    Returns:
        The config, or None when nothing is known of the run.
    """
    if run_manager is None:
        return _STREAMING.get()
    return RunnableConfig(callbacks=_children_of(run_manager, run_manager.run_id))


def message_id(run_manager: BaseRunManager) -> str:
    """The id that LangChain gives to the message a run makes."""
    return f"{LC_ID_PREFIX}-{run_manager.run_id}"


def named_run(config: RunnableConfig | None) -> tuple[RunnableConfig, Context]:
    """The config of a stream whose run has a name, and the context to stream it in."""
    config = ensure_config(config)
    manager = get_callback_manager_for_config(config)
    run_id = config.get("run_id") or uuid7()
    below = RunnableConfig(
        callbacks=_children_of(manager, run_id), configurable=config.get("configurable", {})
    )
    context = copy_context()
    context.run(_STREAMING.set, below)
    return {**config, "callbacks": manager, "run_id": run_id}, context


def _children_of(manager: Any, run_id: Any) -> CallbackManager:
    children = CallbackManager([], parent_run_id=run_id)
    children.set_handlers(manager.inheritable_handlers)
    children.add_tags(manager.inheritable_tags)
    children.add_metadata({**manager.inheritable_metadata, COUNTED_ABOVE: True})
    return children


def streamed(items: Iterator[Item], context: Context) -> Iterator[Item]:
    """The items, each made in the context."""
    nothing = object()
    while (item := context.run(next, items, nothing)) is not nothing:
        yield item  # type: ignore[misc]


async def astreamed(items: AsyncIterator[Item], context: Context) -> AsyncIterator[Item]:
    """As `streamed`, for an async iterator."""
    nothing = object()

    async def following() -> Any:
        return await anext(items, nothing)

    while (item := await asyncio.create_task(following(), context=context)) is not nothing:
        yield item
