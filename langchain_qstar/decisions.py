"""What a person says to the steps that a search asks about.

A decision is `"approve"` or `"forbid"` for all of them, or a dict with ids:
`{"forbid": ["0.1"], "edit": {"0.2": "24-5=19"}}`. Steps it does not name are
approved. It is JSON, so it may come from a terminal, a server or a colleague.

It does not: change the tree. `nodes.human_gate` does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_qstar.errors import DecisionError

FORMS: Final = (
    "'approve', 'forbid', or a dict such as {'forbid': ['0.1'], 'edit': {'0.2': 'new text'}}"
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Steps that are forbidden, and texts in the place of others, by the ids of the steps."""

    forbid: tuple[str, ...] = ()
    edit: Mapping[str, str] = field(default_factory=dict)


def read_decision(given: Any, steps: Collection[str]) -> Decision:
    """The decision that `given` means.

    Args:
        given: In any form that the module's text names. `edit` may be the new text alone
            when one step is asked about.
        steps: The ids of the steps it may be about.

    Returns:
        The decision, of known steps only.

    Raises:
        DecisionError: It has no such form, names another step, or an edited text is empty.
    """
    if isinstance(given, str) and given in ("approve", "forbid"):
        return Decision(forbid=tuple(steps) if given == "forbid" else ())
    if not isinstance(given, Mapping) or not given.keys() <= {"forbid", "edit"}:
        raise DecisionError(f"the decision {given!r} is not understood; give {FORMS}")
    forbid, edit = given.get("forbid", ()), given.get("edit", {})
    if isinstance(edit, str) and len(steps) == 1:
        edit = dict.fromkeys(steps, edit)
    if not isinstance(forbid, Sequence) or isinstance(forbid, str) or not isinstance(edit, Mapping):
        raise DecisionError(f"the decision {given!r} is not understood; give {FORMS}")
    for each in (*forbid, *edit):
        if each not in steps:
            raise DecisionError(f"no step {each!r} to decide about; there are {', '.join(steps)}")
    for each, text in edit.items():
        if not isinstance(text, str) or not text.strip():
            raise DecisionError(f"the text for step {each} is empty; to drop a step, forbid it")
    return Decision(tuple(forbid), dict(edit))
