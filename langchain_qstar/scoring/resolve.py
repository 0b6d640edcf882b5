"""From what users write for `q_model=` to a scorer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.resolve import NANO_FOLDER
from langchain_qstar.protocols import Policy, StepScorer, gives_logprobs
from langchain_qstar.scoring.agreement import AgreementScorer
from langchain_qstar.scoring.callable import CallableScorer
from langchain_qstar.scoring.combined import RememberingScorer
from langchain_qstar.scoring.log_probability import (
    LogProbabilityScorer,
    PathLogProbabilityScorer,
)
from langchain_qstar.scoring.rules import RuleScorer, python_tokens
from langchain_qstar.scoring.stand_in import StandInScorer


def resolve_scorer(
    spec: str | Path | StepScorer | Callable[..., Any] | None, policy: Policy
) -> StepScorer | None:
    """The scorer that `spec` means for this policy.

    Args:
        spec: None; a name from the table; a folder that `qstar train` wrote; a
            `StepScorer`; or a plain function `(state, steps) -> list[float]` with
            values in [0, 1].

            ====================== =================================================
            `nano`                 the head that ships with the bundled model
            `log-probability`      how sure the policy was of the step
            `path-log-probability` how sure it was of all the path to the step
            `agreement`            how many samples come to the same result
            `self-evaluation`      the policy asked: is this right, Yes or No
            `prm:FAMILY:WHERE`     a process reward model; FAMILY is `math-shepherd`,
                                   `rlhflow`, `skywork`, `qwen` or `trl`
            `orm:WHERE`            a reward model of whole solutions
            `python-tokens`        a penalty for code that does not tokenise; as `utility`
            ====================== =================================================

            WHERE is a folder or `ORG/NAME` of the Hugging Face hub.
        policy: The policy whose steps will be scored.

    Raises:
        ModelSpecError: Nothing such is known, or it does not fit the policy.
        MissingExtraError: It needs a package that is not installed.
    """
    if spec is None or isinstance(spec, StepScorer):
        return spec
    if isinstance(spec, str):
        kind, _, rest = spec.partition(":")
        if spec in _NAMED or (kind in _READING and rest):
            return _NAMED[spec](policy) if spec in _NAMED else _READING[kind](rest)
    if isinstance(spec, (str, Path)):
        return _head(policy, Path(spec), Path(spec).name)
    if callable(spec):
        return CallableScorer(spec)
    raise ModelSpecError(
        f"q_model={spec!r:.60} is not understood; give a name, a folder, a StepScorer "
        "or a function (state, steps) -> list[float]"
    )


def scorer_of(spec: Any, policy: Policy) -> StepScorer | None:
    """As `resolve_scorer`, where `"default"` is the scorer for a user who named none."""
    return default_scorer(policy) if spec == "default" else resolve_scorer(spec, policy)


def default_scorer(policy: Policy) -> StepScorer:
    """The scorer for a user who named none.

    The bundled head for the bundled model (when it ships). For any other `foreign_scorer`,
    whose place the agreement of samples takes where the policy gives no log-probabilities;
    then it warns with `UnguidedWarning`, and results say so in `Usage.shortfalls`.
    """
    if policy.name == "nano" and (NANO_FOLDER / "q_head.json").is_file():
        return _nano(policy)
    return StandInScorer(foreign_scorer(), policy)


def foreign_scorer() -> StepScorer:
    """The scorer of a model that nothing was trained for: it reads log-probabilities only."""
    return PathLogProbabilityScorer()


def _nano(policy: Policy) -> StepScorer:
    if policy.name != "nano":
        raise ModelSpecError(
            f'q_model="nano" belongs to policy="nano" and cannot read {policy.name}; '
            "train a head for it, or pass a function"
        )
    return _head(policy, NANO_FOLDER, "nano")


def _head(policy: Policy, folder: Path, name: str) -> StepScorer:
    try:
        there = (folder / "q_head.json").is_file()
    except OSError:  # too long a name
        there = False
    if not there:
        raise ModelSpecError(
            f"q_model={name!r:.60}: there is no Q head in {str(folder)!r:.200}; give a folder "
            f"that qstar train wrote, {', '.join(sorted(_NAMED))}, prm:FAMILY:MODEL or orm:MODEL"
        )
    from langchain_qstar.scoring.trained import load_value_model

    return load_value_model(policy, folder, name)


def _logprobs(scorer: StepScorer) -> Callable[[Policy], StepScorer]:
    """What makes a scorer that needs log-probabilities, for a policy that may give them."""

    def made(policy: Policy) -> StepScorer:
        if gives_logprobs(policy) is False:
            raise ModelSpecError(
                f"q_model={scorer.name!r}: {policy.name} gives no log-probabilities; "
                'use "agreement", a model that reads the steps, or a function'
            )
        return scorer

    return made


def _self_evaluation(policy: Policy) -> StepScorer:
    from langchain_qstar.scoring.self_evaluation import SelfEvaluationScorer

    return RememberingScorer(SelfEvaluationScorer(policy))


def _process_reward(rest: str) -> StepScorer:
    from langchain_qstar.scoring.reward_model import ProcessRewardScorer

    family, _, source = rest.partition(":")
    if not source:
        raise ModelSpecError(
            f'q_model="prm:{rest}": write prm:FAMILY:FOLDER or prm:FAMILY:ORG/NAME'
        )
    return RememberingScorer(ProcessRewardScorer.from_pretrained(family, source))


def _outcome_reward(source: str) -> StepScorer:
    from langchain_qstar.scoring.reward_model import OutcomeRewardScorer

    return RememberingScorer(OutcomeRewardScorer.from_pretrained(source))


_NAMED: Final[dict[str, Callable[[Policy], StepScorer]]] = {
    "agreement": lambda _: AgreementScorer(),
    "log-probability": _logprobs(LogProbabilityScorer()),
    "nano": _nano,
    "path-log-probability": _logprobs(PathLogProbabilityScorer()),
    "python-tokens": lambda _: RuleScorer([python_tokens], name="python-tokens"),
    "self-evaluation": _self_evaluation,
}
_READING: Final[dict[str, Callable[[str], StepScorer]]] = {
    "prm": _process_reward,
    "orm": _outcome_reward,
}
"""By what stands before the first colon."""
