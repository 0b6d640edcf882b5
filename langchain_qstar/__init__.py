"""Q* search over reasoning steps, as LangChain Runnables and a LangGraph machine.

Every public name loads when it is first used, so that importing the package
imports neither LangGraph nor torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from langchain_qstar.chains import (
        BestOfNChain,
        GreedyChain,
        QStarChain,
        SelfConsistencyChain,
    )
    from langchain_qstar.errors import (
        InputError,
        MissingExtraError,
        ModelError,
        ModelSpecError,
        PromptError,
        QStarError,
        QuestionError,
        SettingsError,
    )
    from langchain_qstar.protocols import (
        Completion,
        Policy,
        SampleRequest,
        ScoreRequest,
        Scores,
        State,
        Step,
        StepScorer,
        Task,
    )
    from langchain_qstar.qstar import create_qstar_graph
    from langchain_qstar.settings import QStarSettings
    from langchain_qstar.solution import (
        Check,
        Solution,
        SolutionStep,
        TreeNode,
        Usage,
        Vote,
    )

    __version__: str

_HOMES: Final[dict[str, tuple[str, ...]]] = {
    "chains": ("BestOfNChain", "GreedyChain", "QStarChain", "SelfConsistencyChain"),
    "errors": (
        "InputError",
        "MissingExtraError",
        "ModelError",
        "ModelSpecError",
        "PromptError",
        "QStarError",
        "QuestionError",
        "SettingsError",
    ),
    "protocols": (
        "Completion",
        "Policy",
        "SampleRequest",
        "ScoreRequest",
        "Scores",
        "State",
        "Step",
        "StepScorer",
        "Task",
    ),
    "qstar": ("create_qstar_graph",),
    "settings": ("QStarSettings",),
    "solution": ("Check", "Solution", "SolutionStep", "TreeNode", "Usage", "Vote"),
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BestOfNChain",
    "Check",
    "Completion",
    "GreedyChain",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "ModelSpecError",
    "Policy",
    "PromptError",
    "QStarChain",
    "QStarError",
    "QStarSettings",
    "QuestionError",
    "SampleRequest",
    "ScoreRequest",
    "Scores",
    "SelfConsistencyChain",
    "SettingsError",
    "Solution",
    "SolutionStep",
    "State",
    "Step",
    "StepScorer",
    "Task",
    "TreeNode",
    "Usage",
    "Vote",
    "__version__",
    "create_qstar_graph",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module, once."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("langchain-qstar")
    elif name in _HOME_OF:
        value = getattr(import_module(f"langchain_qstar.{_HOME_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'langchain_qstar' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
