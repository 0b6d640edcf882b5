"""Q-value models and process reward models: one shape, `StepScorer`.

Names load when they are used: importing this package imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from langchain_qstar.scoring.agreement import AgreementScorer
    from langchain_qstar.scoring.callable import CallableScorer
    from langchain_qstar.scoring.features import NUMERIC_FEATURES, step_features
    from langchain_qstar.scoring.log_probability import (
        LogProbabilityScorer,
        PathLogProbabilityScorer,
    )
    from langchain_qstar.scoring.q_head import HeadScorer
    from langchain_qstar.scoring.resolve import default_scorer, resolve_scorer
    from langchain_qstar.scoring.value_model import ValueModelScorer

__all__ = [
    "NUMERIC_FEATURES",
    "AgreementScorer",
    "CallableScorer",
    "HeadScorer",
    "LogProbabilityScorer",
    "PathLogProbabilityScorer",
    "ValueModelScorer",
    "default_scorer",
    "resolve_scorer",
    "step_features",
]

_HOMES: Final = {
    "NUMERIC_FEATURES": "features",
    "AgreementScorer": "agreement",
    "CallableScorer": "callable",
    "HeadScorer": "q_head",
    "LogProbabilityScorer": "log_probability",
    "PathLogProbabilityScorer": "log_probability",
    "ValueModelScorer": "value_model",
    "default_scorer": "resolve",
    "resolve_scorer": "resolve",
    "step_features": "features",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
