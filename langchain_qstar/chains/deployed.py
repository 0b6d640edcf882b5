"""The machines as a server runs them: models from the environment, settings from the assistant.

A LangGraph server asks for the graph before every run, and hands over the context of the
assistant or of the run as part of `configurable`. That may set everything about the search,
and nothing about models: a request must not make a server load one. Without a context, and
for a key that it leaves out, it is the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from langchain_qstar.chains.qstar import QStarChain
from langchain_qstar.chains.rstar import RStarChain
from langchain_qstar.qstar import create_qstar_graph
from langchain_qstar.rstar import create_rstar_graph
from langchain_qstar.settings import QStarSettings, Settings
from langchain_qstar.settings.rstar import RStarSettings

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

KEPT: Final = 32
"""Graphs with different settings that are kept; another one takes some milliseconds to make."""


_MAKING: Final = Lock()
"""A server makes graphs in several threads; models are loaded once all the same."""


class QStarContext(QStarSettings):
    """What an assistant may set about Q*: every setting, and `stream_tokens`."""

    stream_tokens: bool = False
    """Tell every token of every step (the event `writing`)."""


class RStarContext(RStarSettings):
    """What an assistant may set about rStar: every setting, and `stream_tokens`."""

    stream_tokens: bool = False
    """Tell every token of every step (the event `writing`)."""


Context = TypeVar("Context", QStarContext, RStarContext)


def deployed_qstar(
    environment: Mapping[str, str], configurable: Mapping[str, Any]
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Q* for one run.

    Args:
        environment: `QSTAR_POLICY`, `QSTAR_Q_MODEL` and `QSTAR_TASK`, what `QStarChain`
            takes as strings; without them it is the bundled model.
        configurable: Of the run; keys that are no settings are the server's own.

    Raises:
        SettingsError: A setting cannot be used.
        InputError: A model or task cannot be used.
    """
    models = tuple(environment.get(f"QSTAR_{each}") for each in ("POLICY", "Q_MODEL", "TASK"))
    with _MAKING:
        return _qstar(models, _context(QStarContext, configurable))


def deployed_rstar(
    environment: Mapping[str, str], configurable: Mapping[str, Any]
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """As `deployed_qstar`, with `QSTAR_VERIFIER` in place of `QSTAR_Q_MODEL`."""
    models = tuple(environment.get(f"QSTAR_{each}") for each in ("POLICY", "VERIFIER", "TASK"))
    with _MAKING:
        return _rstar(models, _context(RStarContext, configurable))


def _context(kind: type[Context], configurable: Mapping[str, Any]) -> Context:
    return kind(**{key: configurable[key] for key in kind.model_fields if key in configurable})


Models = tuple[str | None, ...]


@cache
def _qstar_chain(models: Models) -> QStarChain:
    """The models, loaded once for all settings."""
    policy, q_model, task = models
    return QStarChain(policy or "nano", q_model or "default", task=task)


@cache
def _rstar_chain(models: Models) -> RStarChain:
    policy, verifier, task = models
    return RStarChain(policy or "nano", verifier, task=task)


@lru_cache(KEPT)
def _qstar(models: Models, context: QStarContext) -> CompiledStateGraph[Any, Any, Any, Any]:
    chain = _qstar_chain(models)
    graph = create_qstar_graph(
        chain.policy,
        chain.q_model,
        task=chain.task,
        settings=_settings(QStarSettings, context),
        context_schema=QStarContext,
    )
    return graph.compile(name="qstar")


@lru_cache(KEPT)
def _rstar(models: Models, context: RStarContext) -> CompiledStateGraph[Any, Any, Any, Any]:
    chain = _rstar_chain(models)
    graph = create_rstar_graph(
        chain.policy,
        chain.verifier,
        task=chain.task,
        verifier_task=chain.verifier_task,
        settings=_settings(RStarSettings, context),
        context_schema=RStarContext,
    )
    return graph.compile(name="rstar")


S = TypeVar("S", bound=Settings)


def _settings(kind: type[S], context: Settings) -> S:
    """The context without what is no setting of a search."""
    return kind(**context.model_dump(exclude={"stream_tokens"}))
