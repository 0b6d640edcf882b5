"""Three styles of asking: an instruction, a conversation with examples, a text to go on with.

A task's folder of prompts holds `instruction.txt`, with `{{question}}` in it, for a model
that answers chats; if it has worked examples, `examples.txt` in the form of `examples.py`;
and, where the instruction must be another one beside examples, `few_shot.txt`. Which style
a model is asked in is decided by `fitting.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from langchain_qstar.prompting import Prompt, has_prompt, load_prompt
from langchain_qstar.tasks.examples import Examples, read_examples

Style = Literal["zero-shot", "few-shot", "completion"]
Messages = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PromptFiles:
    """A folder of prompts; each file is read once, when it is first needed.

    Attributes:
        name: Of the folder.
        where: What folder it lies in, None for the package's own prompts.
    """

    name: str
    where: Path | None = None

    @cached_property
    def instruction(self) -> Prompt:
        """The instruction; `PromptError` when it is missing or cannot be filled."""
        return load_prompt(f"{self.name}/instruction", {"question"}, self.where)

    @cached_property
    def few_shot(self) -> Prompt:
        """The instruction beside examples."""
        if not has_prompt(f"{self.name}/few_shot", self.where):
            return self.instruction
        return load_prompt(f"{self.name}/few_shot", {"question"}, self.where)

    @cached_property
    def examples(self) -> Examples:
        """The worked examples, which may be none; `PromptError` when they are no examples."""
        if not has_prompt(f"{self.name}/examples", self.where):
            return Examples()
        return read_examples(f"{self.name}/examples", self.where)


@dataclass(frozen=True)
class Asking:
    """The `messages` of a task: how a question is put to a model.

    Attributes:
        files: The prompts.
        style: `zero-shot` is one user message, the instruction. `few-shot` shows each
            example as an earlier turn, asked as the question is. `completion` is one text
            that breaks off where the solution begins, for models without chat training.
        shots: How many examples are shown, the first of the file.
        fitted: Whether the style was chosen for a model, and is not only what comes first.
    """

    files: PromptFiles
    style: Style = "zero-shot"
    shots: int = 0
    fitted: bool = False

    def __call__(self, question: str) -> Messages:
        """The question as (role, content) pairs, of which the last is the user's."""
        match self.style:
            case "zero-shot":
                return (("user", self.files.instruction.fill(question=question)),)
            case "few-shot":
                return (*self._turns(), ("user", self.files.few_shot.fill(question=question)))
            case "completion":
                return (("user", self.files.examples.completion(question, self.shots)),)

    @property
    def prompts(self) -> str:
        """What results say of it: the style with the examples shown, and whose prompts."""
        shown = self.style if self.style == "zero-shot" else f"{self.style} ({self.shots})"
        return shown if self.files.where is None else f"{self.files.name}: {shown}"

    def _turns(self) -> Messages:
        return tuple(
            turn
            for example in self.files.examples.pairs[: self.shots]
            for turn in (
                ("user", self.files.few_shot.fill(question=example.question)),
                ("assistant", example.solution),
            )
        )
