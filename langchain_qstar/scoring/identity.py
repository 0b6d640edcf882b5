"""Whether two policies are the same model with the same tokenizer.

A file of labels and a trained head belong to the policy they were made with. A name
does not tell (a folder can be trained further), so a policy is told by how it reads
a fixed text: the token ids, and their log-probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from langchain_qstar.protocols import Policy, State, Step

TOLERANCE: Final = 0.1
"""Nats by which log-probabilities may differ on average: more than another precision
makes, and less than training does."""

_PROBE: Final = State("Tom has 12 apples and eats 5. How many are left?")
_STEP: Final = "12-5=7\nThe answer is 7.\n"


@runtime_checkable
class ReadingPolicy(Protocol):
    """A policy that says how it reads a text (`TransformersPolicy`)."""

    def path_ids(self, state: State) -> tuple[int, ...]:
        """The token ids of a state."""
        ...

    def token_logprobs(
        self, states: Sequence[State], steps: Sequence[Step]
    ) -> list[tuple[float, ...]]:
        """Natural-log probability of each token of a step after a state."""
        ...


def identity_of(policy: Policy) -> dict[str, Any]:
    """How `policy` reads the fixed text, as JSON types; only its name if it cannot say.

    Costs one forward pass of some forty tokens.
    """
    if not isinstance(policy, ReadingPolicy):
        return {"name": policy.name}
    (values,) = policy.token_logprobs([_PROBE], [Step(_STEP)])
    ids = policy.path_ids(_PROBE.then(Step(_STEP)))
    return {
        "name": policy.name,
        "token_ids": list(ids),
        "logprobs": [round(value, 3) for value in values],
    }


def difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """What is not the same in two identities, in a few words; None when nothing is.

    Names count only where one of them has nothing else.
    """
    if "token_ids" not in mine or "token_ids" not in theirs:
        same = mine.get("name") == theirs.get("name")
        return None if same else f"the model ({theirs.get('name')}, not {mine.get('name')})"
    if mine["token_ids"] != theirs["token_ids"]:
        return f"the tokenizer (of {theirs.get('name')}, not of {mine.get('name')})"
    pairs = list(zip(mine["logprobs"], theirs["logprobs"], strict=True))
    if sum(abs(a - b) for a, b in pairs) > TOLERANCE * len(pairs):
        return f"the weights (of {theirs.get('name')}, not of {mine.get('name')})"
    return None
