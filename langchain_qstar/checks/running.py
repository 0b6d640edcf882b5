"""Checks in use: resolved from names, run on steps, remembered by text.

A search judges steps as soon as they are written, while others still decode, by asking
for their verdicts early (`nodes/judging.py`) and again when it needs them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from hashlib import blake2b
from typing import Any, Final

from langchain_qstar.checks.arithmetic import arithmetic
from langchain_qstar.checks.latex import require_algebra
from langchain_qstar.checks.symbolic import symbolic
from langchain_qstar.errors import CheckError, SettingsError
from langchain_qstar.protocols import State, Step, StepCheck, Task
from langchain_qstar.solution import Check, Solution
from langchain_qstar.verification.verdict import verdict_on

CHECKS: Final[dict[str, StepCheck]] = {"arithmetic": arithmetic, "symbolic": symbolic}
"""The checks that a name selects."""

REMEMBERED: Final = 8192
"""Judgements that are kept; the same step is met in many runs of a question."""

REASON: Final = 300
"""Most characters of a reason."""

_VERDICTS: Final[dict[bool | None, Any]] = {True: "passed", False: "failed", None: "not_checkable"}


class StepChecks:
    """Checks that judge steps together, in any number of threads.

    A step that one thread is judging is not judged again by another, which waits.

    Args:
        checks: What judges; no two of the same name.

    Raises:
        SettingsError: Two have the same name.
    """

    def __init__(self, checks: Sequence[StepCheck] = ()) -> None:
        self._checks = {name_of(check): check for check in checks}
        if len(self._checks) < len(checks):
            names = ", ".join(name_of(check) for check in checks)
            raise SettingsError(f"two checks have the same name: {names}")
        self._known: OrderedDict[bytes, Check | Future[Check]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """What the checks are called in results."""
        return tuple(self._checks)

    @property
    def tests(self) -> tuple[str, ...]:
        """Those of them that can verify an answer, because they do more than calculate."""
        return tuple(name for name, check in self._checks.items() if not is_calculation(check))

    def judge(self, state: State, step: str) -> tuple[Check, ...]:
        """The verdict of every check on `step`, which comes after the steps of `state`."""
        return tuple(self._remembered(name, state, step) for name in self._checks)

    def judge_all(self, steps: Iterable[tuple[State, str]]) -> list[tuple[Check, ...]]:
        """As `judge`, for many steps."""
        return [self.judge(state, step) for state, step in steps]

    def _remembered(self, name: str, state: State, step: str) -> Check:
        key = _key(name, repr(state.images), state.question, state.text, step)
        mine: Future[Check] = Future()
        with self._lock:
            found = self._known.setdefault(key, mine)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        if found is mine:
            self._judge(mine, key, lambda: _judged(name, self._checks[name], state, step))
        return found.result() if isinstance(found, Future) else found

    def _judge(self, found: Future[Check], key: bytes, judged: Callable[[], Check]) -> None:
        """Judge for all who wait; what is no judgement is not remembered."""
        try:
            check = judged()
        except BaseException as error:
            with self._lock:
                self._known.pop(key, None)
            found.set_exception(error)
            raise
        found.set_result(check)
        with self._lock:
            if self._known.get(key) is found:  # a future has locks and a queue, too
                self._known[key] = check


def _key(*parts: str) -> bytes:
    """A digest of texts: thousands of whole solutions would be many megabytes."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()


def name_of(check: StepCheck) -> str:
    """What a check is called: its attribute `name`, its function's name, or its class's."""
    name = getattr(check, "name", None) or getattr(check, "__name__", None)
    return str(name or type(check).__name__)


def is_calculation(check: StepCheck) -> bool:
    """Whether a check says of itself, by its attribute `calculation`, that it calculates only."""
    return bool(getattr(check, "calculation", False))


def resolve_checks(spec: Sequence[str | StepCheck] | None, task: Task) -> StepChecks:
    """The checks that a user asked for.

    Args:
        spec: Names and callables; None is the task's own, an empty list is none.
        task: Whose checks are the default.

    Raises:
        SettingsError: A name is unknown, or something else was passed.
        MissingExtraError: A check needs an extra that is not installed.
    """
    if spec is not None and (isinstance(spec, str) or not isinstance(spec, Sequence)):
        raise SettingsError(f"checks={spec!r}: pass a list, such as ['arithmetic']")
    return StepChecks([_resolved(each) for each in (task.checks if spec is None else spec)])


def checked(solution: Solution, checks: StepChecks, task: Task) -> Solution:
    """A solution whose steps carry the verdicts, and which says what they come to."""
    state = State(solution.question, task.messages(solution.question), images=solution.images)
    steps = []
    for step in solution.steps:
        steps.append(step.model_copy(update={"checks": checks.judge(state, step.text)}))
        state = state.then(Step(step.text))
    verdict = verdict_on(steps)
    return solution.model_copy(
        update={
            "steps": tuple(steps),
            "verified": verdict.verified,
            "verified_by": verdict.by,
            "calculations": verdict.calculations,
        }
    )


def _resolved(check: Any) -> StepCheck:
    if isinstance(check, str):
        if check not in CHECKS:
            raise SettingsError(f"unknown check {check!r}; choose from: {', '.join(CHECKS)}")
        check = CHECKS[check]
    if not callable(check):
        raise SettingsError(f"a check is a name or a function (state, step), not {check!r}")
    if check is symbolic:
        require_algebra()
    found: Callable[..., Any] = check
    return found


def _judged(name: str, check: StepCheck, state: State, step: str) -> Check:
    try:
        said: Any = check(state, step)
    except CheckError:
        raise
    except Exception as error:  # noqa: BLE001  # text that a check cannot read is data
        said = None, f"{type(error).__name__}: {error}"
    verdict, reason = said if isinstance(said, tuple) and len(said) == 2 else (said, "")
    if not (verdict is None or isinstance(verdict, bool)) or not isinstance(reason, str):
        raise CheckError(
            f"check {name} returned {said!r}; return True, False or None, alone or with a reason"
        )
    return Check(
        name=name,
        verdict=_VERDICTS[verdict],
        reason=reason[:REASON],
        calculation=is_calculation(check),
    )
