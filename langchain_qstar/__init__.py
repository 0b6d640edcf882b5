"""Q* search over reasoning steps, as LangChain Runnables and a LangGraph machine.

Every public name loads when it is first used, so that importing the package
imports neither LangGraph nor torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from langchain_qstar.agents import ChatQStar, QStarMiddleware, create_qstar_tool
    from langchain_qstar.chains import (
        BestOfNChain,
        GreedyChain,
        QStarChain,
        RStarChain,
        SelfConsistencyChain,
    )
    from langchain_qstar.chains.checkpoints import aopen_checkpoints, open_checkpoints
    from langchain_qstar.errors import (
        CheckError,
        CheckpointError,
        DecisionError,
        GrammarError,
        InputError,
        LabelError,
        MissingExtraError,
        ModelError,
        ModelSpecError,
        OffloadWarning,
        PromptError,
        QStarError,
        QuestionError,
        SettingsError,
        ThreadError,
        UnguidedWarning,
    )
    from langchain_qstar.models.chat import ChatModelPolicy
    from langchain_qstar.models.faces.chat import ChatLocal
    from langchain_qstar.models.faces.llm import LocalLLM
    from langchain_qstar.models.llamacpp.policy import LlamaCppPolicy
    from langchain_qstar.models.remote.policy import RemotePolicy
    from langchain_qstar.models.resolve import resolve_policy
    from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
    from langchain_qstar.models.scripted_chat import ScriptedChatModel
    from langchain_qstar.models.transformers.policy import TransformersPolicy
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
    from langchain_qstar.rstar import create_rstar_graph
    from langchain_qstar.scoring.agreement import AgreementScorer
    from langchain_qstar.scoring.combined import MixtureScorer, RememberingScorer
    from langchain_qstar.scoring.judge import JudgeScorer
    from langchain_qstar.scoring.log_probability import (
        LogProbabilityScorer,
        PathLogProbabilityScorer,
    )
    from langchain_qstar.scoring.recalibration import RecalibratedScorer
    from langchain_qstar.scoring.resolve import resolve_scorer
    from langchain_qstar.scoring.reward_model import OutcomeRewardScorer, ProcessRewardScorer
    from langchain_qstar.scoring.rollouts import RederivationScorer, RolloutScorer
    from langchain_qstar.scoring.rules import RuleScorer
    from langchain_qstar.scoring.self_evaluation import SelfEvaluationScorer
    from langchain_qstar.scoring.value_model import ValueModelScorer
    from langchain_qstar.settings import QStarSettings, RStarSettings
    from langchain_qstar.solution import (
        Check,
        Passage,
        Remembered,
        Solution,
        SolutionStep,
        TreeNode,
        Turn,
        Usage,
        Vote,
    )
    from langchain_qstar.tasks import fit_rstar_task, fit_task, get_task
    from langchain_qstar.training.collection import collect_labels
    from langchain_qstar.training.recipe import ValueRecipe
    from langchain_qstar.training.rollouts import LabelSettings
    from langchain_qstar.training.value_model import train_value_model

    __version__: str

_HOMES: Final[dict[str, tuple[str, ...]]] = {
    "agents": ("ChatQStar", "QStarMiddleware", "create_qstar_tool"),
    "chains": (
        "BestOfNChain",
        "GreedyChain",
        "QStarChain",
        "RStarChain",
        "SelfConsistencyChain",
    ),
    "chains.checkpoints": ("aopen_checkpoints", "open_checkpoints"),
    "errors": (
        "CheckError",
        "CheckpointError",
        "DecisionError",
        "GrammarError",
        "InputError",
        "LabelError",
        "MissingExtraError",
        "ModelError",
        "ModelSpecError",
        "OffloadWarning",
        "PromptError",
        "QStarError",
        "QuestionError",
        "SettingsError",
        "ThreadError",
        "UnguidedWarning",
    ),
    "models.chat": ("ChatModelPolicy",),
    "models.llamacpp.policy": ("LlamaCppPolicy",),
    "models.faces.chat": ("ChatLocal",),
    "models.faces.llm": ("LocalLLM",),
    "models.remote.policy": ("RemotePolicy",),
    "models.resolve": ("resolve_policy",),
    "models.scripted": ("ScriptedPolicy", "ScriptedScorer"),
    "models.scripted_chat": ("ScriptedChatModel",),
    "models.transformers.policy": ("TransformersPolicy",),
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
    "rstar": ("create_rstar_graph",),
    "scoring.agreement": ("AgreementScorer",),
    "scoring.combined": ("MixtureScorer", "RememberingScorer"),
    "scoring.judge": ("JudgeScorer",),
    "scoring.log_probability": ("LogProbabilityScorer", "PathLogProbabilityScorer"),
    "scoring.recalibration": ("RecalibratedScorer",),
    "scoring.resolve": ("resolve_scorer",),
    "scoring.reward_model": ("OutcomeRewardScorer", "ProcessRewardScorer"),
    "scoring.rollouts": ("RederivationScorer", "RolloutScorer"),
    "scoring.rules": ("RuleScorer",),
    "scoring.self_evaluation": ("SelfEvaluationScorer",),
    "scoring.value_model": ("ValueModelScorer",),
    "settings": ("QStarSettings", "RStarSettings"),
    "solution": (
        "Check",
        "Passage",
        "Remembered",
        "Solution",
        "SolutionStep",
        "TreeNode",
        "Turn",
        "Usage",
        "Vote",
    ),
    "tasks": ("fit_rstar_task", "fit_task", "get_task"),
    "training.collection": ("collect_labels",),
    "training.recipe": ("ValueRecipe",),
    "training.rollouts": ("LabelSettings",),
    "training.value_model": ("train_value_model",),
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AgreementScorer",
    "BestOfNChain",
    "ChatLocal",
    "ChatModelPolicy",
    "ChatQStar",
    "Check",
    "CheckError",
    "CheckpointError",
    "Completion",
    "DecisionError",
    "GrammarError",
    "GreedyChain",
    "InputError",
    "JudgeScorer",
    "LabelError",
    "LabelSettings",
    "LlamaCppPolicy",
    "LocalLLM",
    "LogProbabilityScorer",
    "MissingExtraError",
    "MixtureScorer",
    "ModelError",
    "ModelSpecError",
    "OffloadWarning",
    "OutcomeRewardScorer",
    "Passage",
    "PathLogProbabilityScorer",
    "Policy",
    "ProcessRewardScorer",
    "PromptError",
    "QStarChain",
    "QStarError",
    "QStarMiddleware",
    "QStarSettings",
    "QuestionError",
    "RStarChain",
    "RStarSettings",
    "RecalibratedScorer",
    "RederivationScorer",
    "Remembered",
    "RememberingScorer",
    "RemotePolicy",
    "RolloutScorer",
    "RuleScorer",
    "SampleRequest",
    "ScoreRequest",
    "Scores",
    "ScriptedChatModel",
    "ScriptedPolicy",
    "ScriptedScorer",
    "SelfConsistencyChain",
    "SelfEvaluationScorer",
    "SettingsError",
    "Solution",
    "SolutionStep",
    "State",
    "Step",
    "StepScorer",
    "Task",
    "ThreadError",
    "TransformersPolicy",
    "TreeNode",
    "Turn",
    "UnguidedWarning",
    "Usage",
    "ValueModelScorer",
    "ValueRecipe",
    "Vote",
    "__version__",
    "aopen_checkpoints",
    "collect_labels",
    "create_qstar_graph",
    "create_qstar_tool",
    "create_rstar_graph",
    "fit_rstar_task",
    "fit_task",
    "get_task",
    "open_checkpoints",
    "resolve_policy",
    "resolve_scorer",
    "train_value_model",
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
