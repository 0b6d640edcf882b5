r"""The symbolic check: are the formulas of a step true?

Constants and identities are simplified: `\sqrt{50} = 5\sqrt{2}`,
`(x+1)^2 = x^2+2x+1`. An equation that holds for some values only is compared with
the equations of earlier steps in the same unknown: it passes when it follows from
one of them and fails when it contradicts all, so `x = 4` fails after `2x + 3 = 13`.

All of it runs in the process of `worker`, with limits of time and memory; this
process only finds the formulas.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

from langchain_qstar.checks.formulas import find_chains
from langchain_qstar.checks.latex import ALGEBRA, NESTED, depth, require_algebra
from langchain_qstar.checks.reading import hidden
from langchain_qstar.checks.worker import NoResult
from langchain_qstar.protocols import State

LENGTH: Final = 5_000
"""Most characters of a step that is read."""

EARLIER: Final = 8
"""Equations of earlier steps that a step is compared with, the last ones."""


def symbolic(state: State, step: str) -> tuple[bool | None, str]:
    """Judge a step by its formulas.

    Args:
        state: The steps before, whose equations may be solved in this one.
        step: The text of the step.

    Returns:
        True, False or None (not checkable), and the reason.

    Raises:
        MissingExtraError: The extra `checks` is not installed.
        CheckError: The process for algebra cannot be started.
    """
    if problem := hidden(step) or _too_long(step):
        return None, problem
    chains = find_chains(step)
    if not chains:
        return None, "no formula"
    if any(depth(side) > NESTED for chain in chains for side in chain):
        return None, "nested too deeply"
    earlier = [
        chain
        for each in state.steps
        if not _too_long(each.text)
        for chain in find_chains(each.text)
    ]
    require_algebra()
    try:
        return _judged(json.dumps(chains), json.dumps(earlier[-EARLIER:]))
    except NoResult as why:
        return None, str(why)


symbolic.calculation = True  # type: ignore[attr-defined]  # see `protocols.StepCheck`


def _too_long(text: str) -> str:
    return f"longer than {LENGTH} characters" if len(text) > LENGTH else ""


@lru_cache(4096)
def _judged(chains: str, earlier: str) -> tuple[bool | None, str]:
    verdict, reason = ALGEBRA.ask("judge", chains, earlier)
    return verdict, reason
