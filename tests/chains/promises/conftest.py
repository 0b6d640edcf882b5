"""Every machine, as the tests of what all of them promise make it.

A machine that is added gets one more entry here, and every test of this folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from langchain_qstar.chains import QStarChain, RStarChain
from langchain_qstar.chains.machine import MachineChain
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.protocols import Task

TASK = Task(
    name="letters",
    messages=lambda question: (("user", question),),
    answer=lambda text: text.split()[-1] if any(map(str.isdigit, text)) else None,
    is_terminal=lambda text: any(map(str.isdigit, text)),
    stop=("\n",),
)


def steps(text: str) -> list[str]:
    """Six steps a state; those three levels down end a solution."""
    level = text.count("\n")
    return [f"{text[-2:-1]}{letter}{'7' * (level == 3)}\n" for letter in "abcdef"]


def value(text: str) -> float:
    return sum(map(ord, text)) % 7 / 7


def completes(text: str) -> list[str]:
    """What the verifier says: it agrees with solutions that begin with some letters."""
    return ["" if "7" in text else f"{text[:1]}abcd7\n"]


def qstar(
    policy: Any = None, checkpointer: Any = None, verifier: Any = None, **settings: Any
) -> MachineChain:
    given = {"num_trajectories": 4, "max_pops": 30, "num_samples": 3, **settings}
    if given.get("verify", "never") != "never":
        verifier = verifier or ScriptedPolicy(completes, name="verifier")
    return QStarChain(
        policy or ScriptedPolicy(steps),
        ScriptedScorer(value),
        task=TASK,
        settings=given,
        checkpointer=checkpointer,
        verifier=verifier,
    )


def rstar(
    policy: Any = None, checkpointer: Any = None, verifier: Any = None, **settings: Any
) -> MachineChain:
    counts = {"num_rollouts": 6, "num_steps": 3, "num_last_votes": 2, "verify": "never"}
    given = {"actions": ("propose_step", "finish"), **counts, **settings}
    if given["verify"] != "never":
        verifier = verifier or ScriptedPolicy(completes, name="verifier")
    return RStarChain(
        policy or ScriptedPolicy(steps),
        task=TASK,
        checks=[],
        settings=given,
        checkpointer=checkpointer,
        verifier=verifier,
    )


MACHINES: dict[str, Callable[..., MachineChain]] = {
    "qstar": qstar,
    "qstar, lookahead": partial(qstar, h_mode="lookahead"),
    "qstar, two states at once": partial(qstar, batch_pops=2),
    "qstar, verified": partial(qstar, verify="after"),
    "rstar": rstar,
    "rstar, three rollouts in flight": partial(rstar, rollouts_in_flight=3),
    "rstar, verified": partial(rstar, verify="after"),
    "rstar, verified as it searches": partial(rstar, verify="during"),
}


@pytest.fixture(params=MACHINES)
def make(request: pytest.FixtureRequest) -> Callable[..., MachineChain]:
    """Makes the chain of a machine: `make(policy, checkpointer, verifier, **settings)`."""
    return MACHINES[request.param]


@pytest.fixture(params=[name for name in MACHINES if "verified" in name])
def make_verified(request: pytest.FixtureRequest) -> Callable[..., MachineChain]:
    """The same of machines with a second model."""
    return MACHINES[request.param]


@pytest.fixture(scope="session")
def machines() -> dict[str, Callable[..., MachineChain]]:
    """All of them, by name."""
    return MACHINES


@pytest.fixture
def fresh() -> Callable[[], ScriptedPolicy]:
    """Makes the policy that machines have by default."""
    return lambda: ScriptedPolicy(steps)


@pytest.fixture
def repeated() -> Callable[[Any, Any], Counter[str]]:
    """The states that one policy was asked to continue more often than another."""

    def asked(policy: Any) -> Counter[str]:
        return Counter(request.state.text for batch in policy.calls for request in batch)

    return lambda policy, reference: asked(policy) - asked(reference)
