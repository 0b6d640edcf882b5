"""What a path is worth: whether its answer is verified, and whether its calculations hold.

An answer is verified by what tests it as a whole. Of that there are three kinds: a test of
the user's passes the step that states it; another model, which solved the question alone,
came to it; or the answer itself was proved. Of these only tests exist so far; the other two
belong into `verdict_on`, beside them. Two things look like it and are not: that the
calculations hold, since the wrong things may have been calculated, and that a model which
saw some of the steps comes to the same answer, since it may follow them into their mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_qstar.errors import SettingsError
from langchain_qstar.solution import Check, SolutionStep
from langchain_qstar.tree import standing

Abstain = bool | Literal["failed"]
"""When no answer is given: True, where it is not verified; `failed`, where a check failed a
step of its path; False, never."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about a path.

    Attributes:
        verified: As `Solution.verified`.
        by: As `Solution.verified_by`.
        calculations: As `Solution.calculations`.
    """

    verified: bool | None = None
    by: tuple[str, ...] = ()
    calculations: Literal["hold", "failed"] | None = None


def verdict_on(steps: Sequence[SolutionStep]) -> Verdict:
    """What the checks say of a path.

    A step that a re-answer took the place of says nothing any more.

    Args:
        steps: The path; the last step states the answer.

    Returns:
        False, by the checks that failed a step; else True, by the tests that passed the last
        step; else None, by nobody. The calculations hold when a calculation check passed a
        step and none failed one.
    """
    stand = standing([step.action for step in steps])
    kept = (step for step, stands in zip(steps, stand, strict=True) if stands)
    judged = [check for step in kept for check in step.checks]
    calculated = {check.verdict for check in judged if check.calculation}
    calculations: Literal["hold", "failed"] | None = None
    if calculated & {"passed", "failed"}:
        calculations = "failed" if "failed" in calculated else "hold"
    if failed := _names(judged, "failed"):
        return Verdict(verified=False, by=failed, calculations=calculations)
    tests = [check for step in steps[-1:] for check in step.checks if not check.calculation]
    passed = _names(tests, "passed")
    return Verdict(verified=True if passed else None, by=passed, calculations=calculations)


def _names(checks: Sequence[Check], verdict: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check.name for check in checks if check.verdict == verdict))


def withholds(abstain: Abstain, *, verified: bool | None) -> bool:
    """Whether who abstains like that gives no answer whose path is `verified` like this."""
    if abstain == "failed":
        return verified is False
    return bool(abstain) and verified is not True


def checked_abstain(value: Any) -> Abstain:
    """The value, which a user gave as `abstain`.

    Raises:
        SettingsError: It is something else.
    """
    if isinstance(value, bool) or value == "failed":
        return value  # type: ignore[no-any-return]
    raise SettingsError(f"abstain={value!r:.60}: choose True, False or 'failed'")
