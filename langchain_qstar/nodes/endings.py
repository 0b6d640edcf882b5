"""Where a completion ends that an action asks for."""

from __future__ import annotations

from langchain_qstar.actions import Opening
from langchain_qstar.protocols import BLANK_LINES, Task, TextEnd
from langchain_qstar.stepping.solutions import solution_end


def ends_of(opening: Opening, task: Task) -> TextEnd | None:
    """What ends the completion beside its stop strings: of a whole text, the solution's end."""
    if opening.ends is None and set(opening.stop) <= {BLANK_LINES}:
        return solution_end(task, opening.state.text)
    return opening.ends
