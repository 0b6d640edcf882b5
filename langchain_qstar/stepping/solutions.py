"""Where a whole solution ends: with the step that states its answer.

Few-shot prompts make a model go on with another problem, and many models go on talking.
What comes after the answer is neither read nor, on a local model, paid for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from langchain_qstar.protocols import Task, TextEnd
from langchain_qstar.stepping.splitting import pieces


@dataclass(frozen=True)
class SolutionEnd:
    """A `TextEnd` at the end of the first step at which the task calls a text terminal."""

    task: Task
    before: str = ""
    """What was written before the text that is asked about."""
    whole: ClassVar[bool] = True

    def __call__(self, text: str) -> int:
        """Where the solution ends that `before` and `text` are, 0 while it does not."""
        if "\n" not in text or not self.task.is_terminal(self.before + text):
            return 0  # cheap, and true of nearly every line: no prefix of it is terminal then
        end = 0
        for piece in pieces(text, self.task):
            end += len(piece)
            if not piece.endswith("\n") and end == len(text):
                return 0  # the line that states the answer may go on
            if self.task.is_terminal(self.before + text[:end]):
                return end
        return 0


def solution_end(task: Task, before: str = "") -> TextEnd:
    """Where a solution of `task` ends, for `SampleRequest.ends`.

    Args:
        task: Whose `is_terminal` decides.
        before: What of the solution was there already.
    """
    return SolutionEnd(task, before)
