"""Baselines replayed from a bank of samples, at the tokens that searches are given.

One bank serves every rule that only chooses among samples, so that its tokens are drawn once.
The samples of a question are taken in the order of their seeds until the bank or the cap ends;
the one that would pass the cap is cut there and has no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from langchain_qstar.evaluation.banks import Asked, Bank, reread
from langchain_qstar.evaluation.replay import RULES, Drawn, Rule, drawn
from langchain_qstar.protocols import State, Task
from langchain_qstar.scoring.log_probability import path_confidence
from real_models.files import AbsentError

Row = dict[str, Any]


def surest_path(samples: Sequence[Drawn]) -> Drawn | None:
    """Best-of-N by `path-log-probability`, as `BestOfNChain` has it."""
    answered = [each for each in samples if each.answer is not None and each.kept.steps]
    return max(answered, key=_confidence, default=None)


def _confidence(one: Drawn) -> float:
    *before, last = one.kept.steps
    return path_confidence(State("", steps=tuple(before)), last)


REPLAYED: Final[dict[str, Rule]] = {
    "vote": RULES["vote"],
    "checked_vote": RULES["checked_vote"],
    "best_of_n": surest_path,
}
"""The baselines that a bank serves, by their names in `ways.py`."""


def within(asked: Asked, cap: int) -> tuple[Asked, int]:
    """The samples of a question that end within `cap` tokens, and the tokens spent.

    What would pass the cap is cut there: its tokens are spent, and it says nothing.
    """
    spent = 0
    for number, each in enumerate(asked.samples):
        if spent + each.tokens > cap:
            return replace(asked, samples=asked.samples[:number]), cap
        spent += each.tokens
    return asked, spent


def replayed_rows(
    bank: Bank, task: Task, rule: str, cap: int, questions: Sequence[Row]
) -> list[Row]:
    """A row for each question, as `Runs.run` makes them of live runs.

    Args:
        bank: Samples with the log-probabilities of their steps, for `best_of_n`.
        task: As it is prompted, which today's answers are read by.
        rule: A name of `REPLAYED`.
        cap: Tokens of a question.
        questions: Records, each of which the bank has.

    Raises:
        AbsentError: The bank lacks a question.
    """
    known = {each.id: each for each in bank.questions}
    version = " ".join(bank.about["drawn_with"])
    rows = []
    for each in questions:
        if each["id"] not in known:
            raise AbsentError(f"the bank has no samples of {each['id']}; draw and pack them first")
        asked, spent = within(known[each["id"]], cap)
        samples = drawn(reread(asked, task), task)
        chosen = REPLAYED[rule](samples)
        rows.append(
            {
                "id": each["id"],
                "version": version,
                "right": chosen is not None and chosen.right,
                "tokens": spent,
                "collected": len(_deciding(samples, rule)),
                "fallback": False,
            }
        )
    return rows


def _deciding(samples: Sequence[Drawn], rule: str) -> list[Drawn]:
    """Those that have a say: with an answer, and for the checked vote without a failed check."""
    answered = [each for each in samples if each.answer is not None]
    held = [each for each in answered if not each.sample.failed]
    return held or answered if rule == "checked_vote" else answered


def require_same(bank: Bank, **wanted: Any) -> None:
    """Raise `AbsentError` where a bank is not of the test split, or not of what is `wanted`."""
    of = {"engine": "llamacpp", **bank.about}
    if other := {name: of.get(name) for name in wanted if of.get(name) != wanted[name]}:
        raise AbsentError(f"the bank is of {other}, and what is compared of {wanted}")
    if of["split"] != "test":
        raise AbsentError("the bank is not of the test questions")
