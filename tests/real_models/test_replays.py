"""Votes replayed from a bank spend no more than searches, and are those of the same samples."""

from __future__ import annotations

from itertools import pairwise

import pytest

from langchain_qstar.evaluation.banks import Asked, Bank, Kept
from langchain_qstar.protocols import Step
from langchain_qstar.solution import Sample
from langchain_qstar.tasks import GSM8K

SAMPLING = {"temperature": 0.7, "top_p": 0.8, "top_k": 20}
ABOUT = {"model": "m", "task": "gsm8k", "split": "test", "drawn_with": ["abc"], **SAMPLING}
QUESTION = {"id": "q0", "question": "What is 1 + 1?", "answer": "2"}


def solution(answer: str, tokens: int = 10, logprob: float = -0.5, sum_: str = "1 + 1 = 2") -> Kept:
    steps = (f"{sum_}\n", f"The answer is {answer}.\n")
    return Kept(
        Sample(text="".join(steps), finish="eos", completion_tokens=tokens),
        steps=tuple(Step(text, logprobs=(logprob,)) for text in steps),
    )


def replayed(rule, cap, *samples):
    from real_models.replays import replayed_rows

    bank = Bank(ABOUT, (Asked("q0", QUESTION["question"], "2", samples),))
    (row,) = replayed_rows(bank, GSM8K, rule, cap, [QUESTION])
    return row


def test_samples_vote_in_their_order_until_the_cap():
    samples = [solution("2"), solution("3"), solution("3")]
    rows = [replayed("vote", cap, *samples) for cap in (9, 10, 29, 30, 99)]
    assert [row["right"] for row in rows] == [False, True, True, False, False]
    assert [row["tokens"] for row in rows] == [9, 10, 29, 30, 30]
    assert [row["collected"] for row in rows] == [0, 1, 2, 3, 3]
    assert all(before["tokens"] <= after["tokens"] for before, after in pairwise(rows))


def test_a_checked_vote_leaves_out_what_a_check_refutes():
    samples = [solution("3", sum_="1 + 1 = 3"), solution("3", sum_="1 + 1 = 3"), solution("2")]
    plain, checked = (replayed(rule, 99, *samples) for rule in ("vote", "checked_vote"))
    assert (plain["right"], plain["collected"]) == (False, 3)
    assert (checked["right"], checked["collected"]) == (True, 1)


def test_the_surest_path_is_that_of_best_of_n():
    samples = [solution("3"), solution("3"), solution("2", logprob=-0.1)]
    assert replayed("best_of_n", 99, *samples)["right"]


def test_a_line_that_was_asked_for_is_paid_for():
    short = Kept(Sample(text="1 + 1 = 2\n", finish="eos", completion_tokens=5), " 2.", 5)
    assert replayed("vote", 9, short)["collected"] == 0
    row = replayed("vote", 10, short)
    assert (row["right"], row["tokens"]) == (True, 10)


def test_a_bank_of_something_else_is_refused():
    from real_models.files import AbsentError
    from real_models.replays import replayed_rows, require_same

    bank = Bank(ABOUT, ())
    same = {"model": "m", "task": "gsm8k", "engine": "llamacpp", **SAMPLING}
    require_same(bank, **same)
    for other in ({"model": "n"}, {"task": "multiarith"}, {"engine": "transformers"}, {"top_k": 0}):
        with pytest.raises(AbsentError, match="the bank is of"):
            require_same(bank, **{**same, **other})
    with pytest.raises(AbsentError, match="not of the test"):
        require_same(Bank({**ABOUT, "split": "train"}, ()), **same)
    with pytest.raises(AbsentError, match="q0"):
        replayed_rows(bank, GSM8K, "vote", 9, [QUESTION])
