from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from langchain_qstar.checks import running
from langchain_qstar.checks.arithmetic import arithmetic
from langchain_qstar.checks.running import StepChecks, checked, resolve_checks
from langchain_qstar.checks.symbolic import symbolic
from langchain_qstar.errors import CheckError, MissingExtraError, SettingsError
from langchain_qstar.protocols import State, Step
from langchain_qstar.solution import Check, Solution, SolutionStep
from langchain_qstar.tasks import GSM8K, NANO, STRATEGYQA

START = State("How many?")


def short(state, step):
    return len(step) < 10


def only(check, step="2+3=5\n", state=START):
    (found,) = StepChecks([check]).judge(state, step)
    return found


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (True, Check(name="mine", verdict="passed")),
        (False, Check(name="mine", verdict="failed")),
        (None, Check(name="mine", verdict="not_checkable")),
        ((False, "too long"), Check(name="mine", verdict="failed", reason="too long")),
        ((None, "?"), Check(name="mine", verdict="not_checkable", reason="?")),
    ],
)
def test_a_function_of_state_and_step_is_a_check(said, found):
    def mine(state, step):
        return said

    assert only(mine) == found


def test_a_check_is_named_by_its_attribute_function_or_class():
    class Length:
        def __call__(self, state, step):
            return True

    class Named(Length):
        name = "length"

    assert [only(check).name for check in (short, Length(), Named())] == [
        "short",
        "Length",
        "length",
    ]


def test_an_exception_makes_a_step_not_checkable_and_is_the_reason():
    def mine(state, step):
        return int(step) > 0

    found = only(mine, "2+3\n")
    assert found.verdict == "not_checkable"
    assert found.reason.startswith("ValueError: invalid literal")


@pytest.mark.parametrize("said", ["passed", 1, (True,), (True, None), ("yes", ""), object()])
def test_anything_else_is_an_error_that_names_the_check(said):
    def mine(state, step):
        return said

    with pytest.raises(CheckError, match="check mine returned"):
        only(mine)


def test_a_check_sees_the_question_and_the_steps_before():
    seen = []

    def mine(state, step):
        seen.append((state.question, state.text, step))

    only(mine, "b\n", START.then(Step("a\n")))
    assert seen == [("How many?", "a\n", "b\n")]


def test_a_step_is_judged_once_in_the_same_state(monkeypatch):
    calls = []

    def mine(state, step):
        calls.append(step)
        return True

    monkeypatch.setattr(running, "REMEMBERED", 2)
    checks = StepChecks([mine])
    for text in ("a", "a", "b", "a", "c", "a"):
        checks.judge(START, text)
    assert calls == ["a", "b", "c", "a"]
    checks.judge(START.then(Step("x")), "a")
    assert calls[-1] == "a"
    assert len(calls) == 5


def test_long_reasons_are_cut():
    assert len(only(lambda state, step: (False, "x" * 10**6)).reason) == running.REASON


def test_names_select_checks_and_none_means_the_tasks_own():
    assert resolve_checks(["arithmetic", short], STRATEGYQA).names == ("arithmetic", "short")
    assert resolve_checks(None, NANO).names == ("arithmetic",)
    assert resolve_checks(None, STRATEGYQA).names == ()
    assert resolve_checks([], NANO).names == ()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (["spelling"], "unknown check 'spelling'; choose from: arithmetic, symbolic"),
        ([3], "a check is a name or a function"),
        ("arithmetic", "pass a list"),
        (short, "pass a list"),
        (3, "pass a list"),
        ([short, short], "two checks have the same name"),
    ],
)
def test_what_is_no_check_is_an_error_of_one_line(spec, says):
    with pytest.raises(SettingsError, match=says):
        resolve_checks(spec, NANO)


def test_a_missing_extra_is_told_before_the_search(monkeypatch):
    from langchain_qstar.checks import latex

    monkeypatch.setattr(latex, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"langchain-qstar\[checks\]"):
        resolve_checks(["symbolic"], NANO)
    assert resolve_checks(["arithmetic"], NANO).names == ("arithmetic",)


def solution(*texts):
    return Solution(
        question="How many?",
        answer="5",
        method="greedy",
        steps=tuple(SolutionStep(text=text) for text in texts),
    )


@pytest.mark.parametrize(
    ("texts", "verified", "by", "calculations"),
    [
        (("2+3=5\n", "The answer is 5.\n"), None, (), "hold"),
        (("2+3=6\n", "The answer is 6.\n"), False, ("arithmetic",), "failed"),
        (("2+3=5\n", "The answer is 6.\n"), None, (), "hold"),
        (("It is five.\n", "The answer is 5.\n"), None, (), None),
        ((), None, (), None),
    ],
)
def test_calculations_that_hold_verify_nothing(texts, verified, by, calculations):
    judged = checked(solution(*texts), StepChecks([arithmetic]), GSM8K)
    assert (judged.verified, judged.verified_by) == (verified, by)
    assert judged.calculations == calculations
    assert all(len(step.checks) == 1 for step in judged.steps)


@pytest.mark.parametrize(
    ("texts", "verified", "by"),
    [
        (("It is five.\n", "The answer is 5.\n"), True, ("says_five",)),
        (("It is six.\n", "The answer is 6.\n"), None, ()),
        (("It is 5.\n", "The answer is 6.\n"), None, ()),
        (("It is nine.\n", "The answer is 5.\n"), False, ("says_five",)),
        (("2+3=6\n", "The answer is 5.\n"), False, ("arithmetic",)),
    ],
)
def test_a_test_verifies_by_the_step_that_states_the_answer(texts, verified, by):
    def says_five(_, step):
        return False if "nine" in step else (True if "5" in step else None)

    judged = checked(solution(*texts), StepChecks([arithmetic, says_five]), GSM8K)
    assert (judged.verified, judged.verified_by) == (verified, by)


def test_a_check_that_says_so_calculates_only():
    def adds(_, step):
        return "5" in step

    assert StepChecks([arithmetic, symbolic, adds]).tests == ("adds",)
    adds.calculation = True  # type: ignore[attr-defined]
    checks = StepChecks([arithmetic, adds])
    assert checks.tests == ()
    judged = checked(solution("It is 5.\n", "The answer is 5.\n"), checks, GSM8K)
    assert (judged.verified, judged.calculations) == (None, "hold")


def test_a_step_that_is_being_judged_is_waited_for_and_judged_once():
    judging, may_end, times = threading.Event(), threading.Event(), []

    def slow(state, step):
        times.append(step)
        judging.set()
        return may_end.wait(20)

    checks = StepChecks([slow])
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(checks.judge, START, "2+3=5\n")
        assert judging.wait(20)
        second = pool.submit(checks.judge, START, "2+3=5\n")
        may_end.set()
        assert first.result() == second.result()
    assert times == ["2+3=5\n"]


def test_what_is_no_judgement_is_asked_for_again():
    said: Iterator[Any] = iter(["yes", True])
    checks = StepChecks([lambda state, step: next(said)])
    with pytest.raises(CheckError):
        checks.judge(START, "2+3=5\n")
    assert checks.judge(START, "2+3=5\n")[0].verdict == "passed"


def test_what_is_remembered_is_the_verdict_alone():
    """Thousands are kept: without the texts that they are of, and without what others wait on."""
    checks = StepChecks([arithmetic])
    checks.judge(State("q"), "1 + 1 = 2\n")
    (key,), (kept,) = checks._known, checks._known.values()
    assert isinstance(kept, Check)
    assert len(key) == 16
    assert checks.judge(State("q"), "1 + 1 = 2\n") == (kept,)
