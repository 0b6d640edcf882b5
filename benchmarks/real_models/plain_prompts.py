"""Prompts without this package: what the literature gives to a model, as plain text.

few_shot    the form of Wei et al. (2022), eight worked examples before the question, as a raw
            completion; the examples are of GSM8K's train split
zero_shot   the model's chat template around the question and a sentence that asks for steps and
            a box, as Qwen's and DeepSeek's evaluations do
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

EXAMPLES: Final = 8
MOST: Final = {"zero_shot": 400, "few_shot": 256}
"""Tokens a text may take."""

STOPS: Final = {"zero_shot": (), "few_shot": ("\nQ:",)}
"""What a text is cut before."""

BOX: Final = "Please reason step by step, and put your final answer in \\boxed{}."

_ANNOTATION: Final = re.compile(r"<<[^>]*>>")


def worked(record: dict[str, Any]) -> str:
    """A record of GSM8K as an example: its steps in one paragraph, then the answer."""
    steps = " ".join(_ANNOTATION.sub("", record["solution"]).split())
    return f"Q: {record['question'].strip()}\nA: {steps} The answer is {record['answer']}.\n\n"


def examples(train: Sequence[dict[str, Any]]) -> str:
    """The first eight worked examples with two to four lines, each a whole sentence.

    Not the shortest: a model writes as briefly as it is shown, and then reasons less.

    Args:
        train: Records of GSM8K's train split.
    """
    fit = [
        record
        for record in train
        if 2 <= len(lines := record["solution"].splitlines()) <= 4
        and all(line.rstrip().endswith(".") for line in lines)
    ]
    return "".join(map(worked, fit[:EXAMPLES]))


def few_shot(train: Sequence[dict[str, Any]], question: str) -> str:
    """The text that a model goes on with."""
    return f"{examples(train)}Q: {question.strip()}\nA:"


def zero_shot(question: str) -> list[tuple[str, str]]:
    """One message of a chat."""
    return [("user", f"{question.strip()}\n{BOX}")]
