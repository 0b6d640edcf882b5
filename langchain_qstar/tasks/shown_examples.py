"""A prompt file of one of rStar's actions: an instruction, worked examples, and the problem last.

The parts are parted by two blank lines. A file without such parts is a problem alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from langchain_qstar.prompting import Prompt, load_prompt
from langchain_qstar.protocols import BLANK_LINES

_QUESTION: Final = "{{question}}"
Messages = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ShownExamples:
    """What a file says.

    Attributes:
        instruction: What is to be done, empty where the file does not say.
        examples: Each with the text by which it is asked for, and its solution.
        last: The problem to be solved, with the hole `question`.
    """

    instruction: str
    examples: tuple[tuple[str, str], ...]
    last: Prompt

    def text(self, question: str, shots: int) -> Messages:
        """All of it in one message."""
        worked = ["\n".join(each) for each in self.examples[:shots]]
        return (("user", self._opened(BLANK_LINES, [*worked, self.last.fill(question=question)])),)

    def turns(self, question: str, shots: int) -> Messages:
        """The examples as earlier turns; the instruction opens the first message."""
        asked = [each for each, _ in self.examples[:shots]]
        asked.append(self.last.fill(question=question))
        asked[0] = self._opened("\n\n", asked[:1])
        solved = [solution for _, solution in self.examples[:shots]]
        turns = [(("user", a), ("assistant", s)) for a, s in zip(asked, solved, strict=False)]
        return (*(message for turn in turns for message in turn), ("user", asked[-1]))

    def _opened(self, between: str, parts: list[str]) -> str:
        return between.join([self.instruction, *parts] if self.instruction else parts)


def read_shown(name: str, folder: Path | str | None = None) -> ShownExamples:
    """Read `NAME.txt`, whose one hole is `question`; see `load_prompt`."""
    prompt = load_prompt(name, {"question"}, folder)
    *before, last = prompt.text.split(BLANK_LINES)
    opening, _, ending = last.partition(_QUESTION)
    if _QUESTION not in last or _QUESTION in BLANK_LINES.join(before) or not opening:
        return ShownExamples("", (), prompt)
    instruction = "" if not before or before[0].startswith(opening) else before.pop(0)
    examples = tuple(_parted(each, ending.split("\n")[-1]) for each in before)
    return ShownExamples(instruction, examples, Prompt(prompt.name, last, prompt.holes))


def _parted(example: str, label: str) -> tuple[str, str]:
    """An example up to where its solution begins, and the solution.

    A solution begins after the line that the last problem ends with, such as `Steps:`, or,
    where that is only the problem, after its first line.
    """
    asked, mark, solution = example.partition(f"\n{label}\n" if label else "\n")
    return (f"{asked}{mark[:-1]}", solution)
