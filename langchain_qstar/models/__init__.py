"""Language models as policies.

Names load when they are used: importing this package imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from langchain_qstar.models.chat import ChatModelPolicy
    from langchain_qstar.models.llamacpp.policy import LlamaCppPolicy
    from langchain_qstar.models.resolve import resolve_policy
    from langchain_qstar.models.scripted import ScriptedPolicy
    from langchain_qstar.models.steps import split_steps
    from langchain_qstar.models.transformers.policy import TransformersPolicy

__all__ = [
    "ChatModelPolicy",
    "LlamaCppPolicy",
    "ScriptedPolicy",
    "TransformersPolicy",
    "resolve_policy",
    "split_steps",
]

_HOMES: Final = {
    "ChatModelPolicy": "chat",
    "LlamaCppPolicy": "llamacpp.policy",
    "ScriptedPolicy": "scripted",
    "TransformersPolicy": "transformers.policy",
    "resolve_policy": "resolve",
    "split_steps": "steps",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
