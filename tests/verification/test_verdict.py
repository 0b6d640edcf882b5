"""What checks say of a path, step by step."""

from __future__ import annotations

import pytest

from langchain_qstar.errors import SettingsError
from langchain_qstar.solution import Check, SolutionStep
from langchain_qstar.verification.verdict import (
    Verdict,
    checked_abstain,
    verdict_on,
    withholds,
)


def step(*checks: str, action: str = "propose_step") -> SolutionStep:
    """A step and its verdicts, such as `sums+` (passed), `sums-` (failed), `mine?`."""
    verdicts = {"+": "passed", "-": "failed", "?": "not_checkable"}
    return SolutionStep(
        text="",
        action=action,
        checks=tuple(
            Check(name=each[:-1], verdict=verdicts[each[-1]], calculation=each[:-1] == "sums")
            for each in checks
        ),
    )


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        ([], Verdict()),
        ([step()], Verdict()),
        ([step("sums?", "mine?")], Verdict()),
        ([step("sums+")], Verdict(calculations="hold")),
        ([step("sums+"), step("sums?")], Verdict(calculations="hold")),
        ([step("mine+"), step("mine?")], Verdict()),
        ([step(), step("mine+", "ours+")], Verdict(verified=True, by=("mine", "ours"))),
        ([step("sums+"), step("mine+")], Verdict(verified=True, by=("mine",), calculations="hold")),
        (
            [step("sums-"), step("mine+")],
            Verdict(verified=False, by=("sums",), calculations="failed"),
        ),
        (
            [step("sums+"), step("sums-")],
            Verdict(verified=False, by=("sums",), calculations="failed"),
        ),
        (
            [step("mine-"), step("sums+", "mine+")],
            Verdict(verified=False, by=("mine",), calculations="hold"),
        ),
        (
            [step("mine-"), step("mine-", "sums-")],
            Verdict(verified=False, by=("mine", "sums"), calculations="failed"),
        ),
    ],
)
def test_tests_verify_calculations_hold_and_failures_refute(
    steps: list[SolutionStep], verdict: Verdict
):
    assert verdict_on(steps) == verdict


def test_what_was_answered_again_says_nothing_any_more():
    again = step("sums+", action="re_answer")
    assert verdict_on([step("sums-"), again]) == Verdict(calculations="hold")
    assert verdict_on([step("sums-"), again, step("mine+")]) == Verdict(
        verified=True, by=("mine",), calculations="hold"
    )
    assert verdict_on([again, step("sums-")]).verified is False


@pytest.mark.parametrize(
    ("abstain", "withheld"),
    [(False, []), (True, [False, None]), ("failed", [False])],
)
def test_abstaining_withholds_what_is_not_verified_or_only_what_failed(abstain, withheld):
    given = [each for each in (False, None, True) if withholds(abstain, verified=each)]
    assert given == withheld


@pytest.mark.parametrize("value", ["", "true", "Failed", 0, 1, None, ["failed"]])
def test_another_value_is_refused(value):
    with pytest.raises(SettingsError, match="choose True, False or 'failed'"):
        checked_abstain(value)
