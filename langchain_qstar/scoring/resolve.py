"""From what users write for `q_model=` to a scorer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.resolve import NANO_FOLDER
from langchain_qstar.protocols import Policy, StepScorer
from langchain_qstar.scoring.callable import CallableScorer
from langchain_qstar.scoring.log_probability import LogProbabilityScorer


def resolve_scorer(
    spec: str | Path | StepScorer | Callable[..., Any] | None, policy: Policy
) -> StepScorer | None:
    """The scorer that `spec` means for this policy.

    Args:
        spec: None; `"nano"`, the head that ships with the bundled model;
            `"log-probability"`; a folder with `q_head.safetensors` and
            `q_head.json`; a `StepScorer`; or a plain function
            `(state, steps) -> list[float]` with values in [0, 1].
        policy: The policy whose steps will be scored.

    Raises:
        ModelSpecError: Nothing such is known, or it does not fit the policy.
    """
    if spec is None or isinstance(spec, StepScorer):
        return spec
    if spec == "log-probability":
        return LogProbabilityScorer()
    if spec == "nano":
        return _nano(policy)
    if isinstance(spec, (str, Path)):
        return _head(policy, Path(spec), Path(spec).name)
    if callable(spec):
        return CallableScorer(spec)
    raise ModelSpecError(
        f"q_model={spec!r:.60} is not understood; give a name, a folder, a StepScorer "
        "or a function (state, steps) -> list[float]"
    )


def default_scorer(policy: Policy) -> StepScorer:
    """The scorer for a user who named none.

    The bundled head for the bundled model (when it ships), else the policy's
    own log-probabilities.
    """
    if policy.name == "nano" and (NANO_FOLDER / "q_head.json").is_file():
        return _nano(policy)
    return LogProbabilityScorer()


def _nano(policy: Policy) -> StepScorer:
    if policy.name != "nano":
        raise ModelSpecError(
            f'q_model="nano" belongs to policy="nano" and cannot read {policy.name}; '
            "train a head for it, or pass a function"
        )
    return _head(policy, NANO_FOLDER, "nano")


def _head(policy: Policy, folder: Path, name: str) -> StepScorer:
    if not (folder / "q_head.json").is_file():
        raise ModelSpecError(f"q_model={name!r}: there is no Q head in {folder}")
    from langchain_qstar.scoring.value_model import load_value_model

    return load_value_model(policy, folder, name)
