"""Worked examples in a file: questions with their solutions, as models are shown them.

    Problem: A hall has 23 chairs. Workers carry 14 more into it. How many are there then?
    Solution:
    There are 23 + 14 = 37 chairs.
    The answer is 37.


    Problem: ...

Two blank lines part the examples. The two labels may be any words, such as `Question`
and `Answer`; all examples of a file have the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from langchain_qstar.errors import PromptError
from langchain_qstar.prompting import load_prompt
from langchain_qstar.protocols import BLANK_LINES

_EXAMPLE: Final = re.compile(r"(\w+): (.*?\S)\n(\w+):\n(.*\S)", re.DOTALL)
_BETWEEN: Final = re.compile(r"\n(?:[ \t]*\n){2,}")


class Example(NamedTuple):
    """One worked example."""

    question: str
    solution: str


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples of a file, in its order, and the labels of a question and of a solution."""

    pairs: tuple[Example, ...] = ()
    labels: tuple[str, str] = ("Problem", "Solution")

    def completion(self, question: str, shots: int) -> str:
        """One text for a model that goes on with texts, up to where the solution begins.

        Args:
            question: What is asked.
            shots: How many examples come before it, the first of the file.
        """
        asked, solved = self.labels
        worked = [f"{asked}: {each}\n{solved}:\n{end}" for each, end in self.pairs[:shots]]
        return BLANK_LINES.join([*worked, f"{asked}: {question}\n{solved}:"])


def read_examples(name: str, folder: Path | str | None = None) -> Examples:
    """Read `NAME.txt`.

    Args:
        name: File name without its ending.
        folder: As for `load_prompt`.

    Raises:
        PromptError: The file is missing or not UTF-8, or an example is not written as
            above; the message names the file and the example.
    """
    prompt = load_prompt(name, (), folder)
    found = [_EXAMPLE.fullmatch(each) for each in _BETWEEN.split(prompt.text.strip())]
    matches = [each for each in found if each]
    if len(matches) < len(found):
        raise PromptError(
            f"{prompt.name}: example {found.index(None) + 1} is not written as 'Problem: ...', "
            "a line 'Solution:' and the solution, with two blank lines between examples"
        )
    labels = {(each[1], each[3]) for each in matches}
    if len(labels) > 1:
        raise PromptError(f"{prompt.name}: all examples must have the same two labels")
    return Examples(tuple(Example(each[2], each[4]) for each in matches), labels.pop())
