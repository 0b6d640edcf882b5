"""A search of one sample a step is replayed from whole solutions, worked out by hand."""

from __future__ import annotations

import pytest

from langchain_qstar.checks.running import resolve_checks
from langchain_qstar.evaluation.banks import Asked, Bank, Kept, reread
from langchain_qstar.protocols import Step
from langchain_qstar.solution import Sample
from langchain_qstar.tasks import GSM8K


def solution(answer: str, *logprobs: float, sums: str = "1 + 1 = 2") -> Kept:
    """Three steps of two tokens each, whose log-probabilities are given, and an end token."""
    texts = (f"{sums}\n", "So it is.\n", f"The answer is {answer}.\n")
    return Kept(
        Sample(text="".join(texts), finish="eos", completion_tokens=7),
        steps=tuple(Step(t, logprobs=(p, p)) for t, p in zip(texts, logprobs, strict=True)),
    )


def paths(*samples: Kept):
    from real_models.candidates import whole_path
    from real_models.replayed_search import paths_of

    asked = reread(Asked("q0", "What is 1 + 1?", "2", samples), GSM8K)
    return paths_of(asked, GSM8K, resolve_checks(None, GSM8K), whole_path)


def searched(found, *, cap, bias=0.0):
    from real_models.replayed_search import Search

    search = Search(found, len(found), bias, cap)
    answers = [each.sample.answer for each in search.run()]
    return answers, search.spent


def test_steps_cost_their_tokens_and_the_last_one_the_end():
    (path,) = paths(solution("2", -0.1, -0.1, -0.1))
    assert path.tokens == (2, 2, 3)
    assert path.failed is None


def test_the_surest_path_is_finished_first():
    found = paths(solution("3", -0.3, -0.3, -0.3), solution("2", -0.1, -0.1, -0.1))
    # Two first steps, then the second and third step of the surer one, then those of the other.
    assert searched(found, cap=4 + 5) == (["2"], 9)
    assert searched(found, cap=99) == (["2", "3"], 14)


def test_a_path_that_becomes_unsure_waits():
    found = paths(solution("3", -0.1, -2.0, -0.1), solution("2", -0.3, -0.3, -0.3))
    assert searched(found, cap=99)[0] == ["2", "3"]
    assert searched(found, cap=99, bias=1.0)[0] == ["3", "2"]  # what is deeper goes first


def test_what_a_check_refutes_costs_no_more():
    wrong = solution("3", -0.1, -0.1, -0.1, sums="1 + 1 = 3")
    (path,) = paths(wrong)
    assert path.failed == 0
    assert searched(paths(wrong, solution("2", -0.3, -0.3, -0.3)), cap=99) == (["2"], 2 + 7)


def test_a_quarter_is_kept_for_the_completion_while_nothing_is_whole():
    found = paths(*(solution(answer, -0.1, -0.2, -0.3) for answer in "234"))
    # 6 for first steps, 6 for second ones; from 12 of 16 on, the best path alone: 3 for its end.
    assert searched(found, cap=16) == (["2"], 15)
    assert searched(found, cap=14) == ([], 14)


def test_settings_are_compared_to_the_checked_vote_of_the_same_samples(tmp_path):
    import search
    from real_models.files import AbsentError

    from langchain_qstar.evaluation.banks import write_bank

    samples = tuple(solution(answer, -0.1, -0.1, -0.1) for answer in "2223")
    about = {"model": "m", "task": "gsm8k", "split": "train", "drawn_with": ["abc"]}
    bank = Bank(about, (Asked("q0", "What is 1 + 1?", "2", samples),))
    write_bank(tmp_path / "bank", bank)
    figures = search.replayed_searches(tmp_path / "bank", 99)
    assert (figures["train_vote"], figures["train_tokens_vote"]) == (1.0, 28.0)
    assert figures["train_path_4_0_minus_vote"] == 0.0
    assert figures["train_path_2_0"] == 0.75  # in one of four rotations the wrong one is first
    write_bank(tmp_path / "bank", Bank({**about, "split": "test"}, bank.questions))
    with pytest.raises(AbsentError, match="choose on train"):
        search.replayed_searches(tmp_path / "bank", 99)
