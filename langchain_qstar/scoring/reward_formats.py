"""How public process reward models want to be asked, and where their verdict stands.

A format turns a question and the texts of its steps into token ids and the position of
the verdict on the last step. The conventions are those of the models' own cards:

- `math-shepherd` (peiyi9979/math-shepherd-mistral-7b-prm): question and steps as text,
  `ки` after each step; at that token, `+` against `-`.
- `rlhflow` (RLHFlow/Llama3.1-8B-PRM-*): a chat in which the user states a step, the
  first with the question, and the assistant says `+`; where the model is about to say
  it, `+` against `-`.
- `skywork` (Skywork/Skywork-o1-Open-PRM-*): question, line break, steps a line each;
  a value head at the last token of a step.
- `qwen` (Qwen/Qwen2.5-Math-PRM-*): a chat whose answer has `<extra_0>` after each
  step; a classifier of two classes there.
- `trl` (models of TRL's PRM trainer): question, then steps each with a line break after
  it, tokenised apart; a token classifier of two classes at that line break.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from langchain_qstar.errors import ModelSpecError

Readout = Literal["next-token", "value-head", "two-classes", "token-classes"]
"""What is read at the position: the next token `+` against `-`; a scalar through a
sigmoid; a classifier of two classes on the hidden state; a token classifier's."""

Encoded: TypeAlias = tuple[list[int], int]
"""Token ids, and the position of the verdict among them."""

STEP_TAG: Final = "ки"
EXTRA: Final = "<extra_0>"
_QWEN_SYSTEM: Final = "Please reason step by step, and put your final answer within \\boxed{}."


@dataclass(frozen=True)
class RewardFormat:
    """One family of process reward models.

    Attributes:
        name: What `prm:NAME:WHERE` selects.
        encode: (tokenizer, question, step texts) -> token ids and position.
        readout: What is read there.
    """

    name: str
    encode: Callable[[Any, str, Sequence[str]], Encoded]
    readout: Readout


def _math_shepherd(tokenizer: Any, question: str, steps: Sequence[str]) -> Encoded:
    solution = "\n".join(f"{step} {STEP_TAG}" for step in steps)
    ids = _ids(tokenizer, f"{question} {solution}", special=True)
    return ids, _last(ids, _ids(tokenizer, STEP_TAG)[-1], STEP_TAG)


def _rlhflow(tokenizer: Any, question: str, steps: Sequence[str]) -> Encoded:
    chat = []
    for number, step in enumerate(steps):
        said = f"{question} {step}" if number == 0 else step
        chat += [{"role": "user", "content": said}, {"role": "assistant", "content": "+"}]
    ids = _chat(tokenizer, chat)
    return ids, _last(ids, plus_and_minus(tokenizer)[0], "+") - 1


def _skywork(tokenizer: Any, question: str, steps: Sequence[str]) -> Encoded:
    start = getattr(tokenizer, "bos_token", None) or ""
    ids = _ids(tokenizer, f"{start}{question}\n")
    for step in steps:
        ids = ids + _ids(tokenizer, f"{step}\n")
    return ids, len(ids) - 1


def _qwen(tokenizer: Any, question: str, steps: Sequence[str]) -> Encoded:
    answer = "".join(f"{step}{EXTRA}" for step in steps)
    chat = [
        {"role": "system", "content": _QWEN_SYSTEM},
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    ids = _chat(tokenizer, chat)
    return ids, _last(ids, _ids(tokenizer, EXTRA)[0], EXTRA)


def _trl(tokenizer: Any, question: str, steps: Sequence[str]) -> Encoded:
    start = getattr(tokenizer, "bos_token_id", None)
    ids = ([] if start is None else [start]) + _ids(tokenizer, question)
    for step in steps:
        ids = ids + _ids(tokenizer, step) + _ids(tokenizer, "\n")
    return ids, len(ids) - 1


FORMATS: Final[dict[str, RewardFormat]] = {
    each.name: each
    for each in (
        RewardFormat("math-shepherd", _math_shepherd, "next-token"),
        RewardFormat("rlhflow", _rlhflow, "next-token"),
        RewardFormat("skywork", _skywork, "value-head"),
        RewardFormat("qwen", _qwen, "two-classes"),
        RewardFormat("trl", _trl, "token-classes"),
    )
}
"""By name."""


def plus_and_minus(tokenizer: Any) -> tuple[int, int]:
    """The ids of `+` and `-` as they stand after a space or a header."""
    plus, minus = (_ids(tokenizer, sign)[-1] for sign in "+-")
    return plus, minus


def _ids(tokenizer: Any, text: str, *, special: bool = False) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=special))


def _chat(tokenizer: Any, chat: list[dict[str, str]]) -> list[int]:
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=False)
    return _ids(tokenizer, text)


def _last(ids: Sequence[int], wanted: int, shown: str) -> int:
    for place in range(len(ids) - 1, 0, -1):
        if ids[place] == wanted:
            return place
    raise ModelSpecError(
        f"this tokenizer has no {shown!r} of its own: the model is of another family"
    )
