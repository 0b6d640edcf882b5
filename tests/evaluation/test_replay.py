"""Figures of votes over kept samples, worked by hand."""

import math

import pytest

from langchain_qstar.evaluation.banks import Asked, Bank, Kept
from langchain_qstar.evaluation.replay import (
    confidence,
    difficulty,
    drawn,
    headroom,
    pass_at,
    replayed,
    samples_told,
    selections,
    shares,
    vote,
)
from langchain_qstar.solution import Sample
from langchain_qstar.tasks import GSM8K


def asked(*answers, gold="6", **about):
    """A question with these answers; `x6` is one with a failed check, None is none."""
    samples = tuple(
        Kept(
            Sample(
                text=f"sample {number}",
                answer=None if answer is None else answer.lstrip("x"),
                failed=bool(answer) and answer.startswith("x"),
                finish="eos",
                completion_tokens=10,
                logprob=about.get("logprobs", [-1.0] * len(answers))[number],
            )
        )
        for number, answer in enumerate(answers)
    )
    return Asked("q", "?", gold, samples)


def questions(*each):
    return [drawn(one, GSM8K) for one in each]


def voted(samples):
    chosen = vote(samples)
    return chosen and chosen.sample.answer


def test_equal_answers_are_one_answer_however_they_are_written():
    found = drawn(asked("6", "6.0", "7", None, "$6"), GSM8K)
    assert [each.answer for each in found] == [0, 0, 1, None, 0]
    assert [each.right for each in found] == [True, True, False, False, True]


def test_of_equally_common_answers_an_unrefuted_one_wins_then_the_first_drawn():
    (six, seven) = questions(asked("6", "7", "7", "6"), asked(None, "7", "6"))
    assert voted(six) == "6"
    assert voted(seven) == "7"
    (checked,) = questions(asked("x7", "x7", "x6", "6"))
    assert voted(checked) == "6"  # a sample without a failed check gives it
    assert vote([]) is None


def test_pass_is_unbiased():
    (one,) = questions(asked("6", "7", "7", "7"))
    assert pass_at(one, 1) == pytest.approx(1 / 4)
    assert pass_at(one, 2) == pytest.approx(1 / 2)  # 1 - C(3,2)/C(4,2) = 1 - 3/6
    assert pass_at(one, 4) == 1


def test_small_votes_are_means_over_disjoint_groups():
    (one,) = questions(asked("6", "6", "7", "7"))
    assert shares([one], vote, 2) == [1 / 2]
    assert shares([one], vote, 4) == [1]  # two each: the first drawn
    assert shares([one], vote, 3) == [1]  # what is left over is no group


def test_headroom_says_how_often_a_wrong_answer_beats_the_right_one():
    figures = headroom(
        questions(
            asked("6", "6", "7", "8"),  # right leads
            asked("7", "7", "6", "8"),  # wrong leads
            asked("7", "6", "8", None),  # tie, and the wrong one was drawn first
            asked("7", "7", "7", "7"),  # never right
        ),
        4,
    )
    assert figures["pass_1"] == pytest.approx((2 + 1 + 1 + 0) / 16)
    assert figures["pass_4"] == 3 / 4
    assert figures["vote_4"] == 1 / 4
    assert figures["wrong_beats_right"] == pytest.approx(1 / 3)
    assert figures["wrong_ties_right"] == pytest.approx(1 / 3)
    assert figures["low_vote_4"] < 1 / 4 < figures["high_vote_4"]


def test_a_checked_vote_leaves_failed_samples_out_unless_nothing_is_left():
    one, two = asked("x7", "x7", "6", None), asked("x6", "x6", None, None)
    figures = headroom(questions(one, two), 4)
    assert figures["vote_4"] == 1 / 2
    assert figures["checked_vote_4"] == 1


def test_best_of_n_takes_the_likeliest_answered_text():
    one = asked("7", "6", None, "7", logprobs=[-9.0, -2.0, -1.0, -3.0])
    figures = selections(questions(one), 4)
    assert figures["best_logprob_4"] == 1
    assert figures["best_logprob_over_vote"] == 1  # the vote says 7


def test_the_mean_log_probability_does_not_prefer_short_texts():
    long = Sample(text="a", answer="6", finish="eos", completion_tokens=20, logprob=-10.0)
    short = Sample(text="b", answer="7", finish="eos", completion_tokens=5, logprob=-4.0)
    figures = selections(questions(Asked("q", "?", "6", (Kept(long), Kept(short)))), 2)
    assert figures["best_logprob_2"] == 0
    assert figures["best_mean_logprob_2"] == 1  # -0.5 a token over -0.8


def test_confidence_is_the_share_of_the_winner_of_all_samples():
    figures = confidence(
        questions(
            asked("6", "6", "6", None), asked("7", "8", "6", None), asked("6", "6", "6", "6")
        ),
        4,
    )
    assert figures["confidence"] == pytest.approx((3 / 4 + 1 / 4 + 1) / 3)
    assert figures["confidence_brier"] == pytest.approx((1 / 16 + 1 / 16 + 0) / 3)
    assert figures["confidence_auc"] == figures["margin_auc"] == 1
    assert figures["questions_margin_00_25"] == 1
    assert figures["vote_margin_00_25"] == 0
    assert figures["questions_margin_75_100"] == 2
    assert figures["vote_margin_75_100"] == 1
    assert "vote_margin_25_50" not in figures


def test_difficulty_counts_questions_by_their_right_samples():
    figures = difficulty(
        questions(asked("7", "7"), asked("6", "7"), asked("6", "6"), asked(None, None))
    )
    assert figures["solved_never"] == 1 / 2
    assert figures["solved_50_75"] == 1 / 4
    assert figures["solved_always"] == 1 / 4
    parts = [value for name, value in figures.items()]
    assert math.isclose(sum(parts), 1)


def test_samples_without_an_answer_count_only_when_they_ended_by_themselves():
    cut = Kept(Sample(text="", finish="length", completion_tokens=30))
    one = asked("6", None, "x7", "x6")
    figures = samples_told(questions(Asked("q", "?", "6", (*one.samples, cut))))
    assert figures["unparsed_samples"] == figures["unparsed_asked"] == 1 / 4
    assert figures["cut"] == 1 / 5
    assert figures["tokens"] == 14
    assert figures["failed"] == pytest.approx(2 / 3)
    assert figures["right_failed"] == 1 / 2
    assert figures["right_unfailed"] == 1


def test_a_sample_that_was_asked_for_its_answer_had_not_stated_it():
    told = Kept(Sample(text="", answer="6", finish="eos", completion_tokens=10), "The answer is", 6)
    figures = samples_told(questions(Asked("q", "?", "6", (told, *asked("6").samples))))
    assert figures["unparsed_samples"] == 1 / 2
    assert figures["unparsed_asked"] == 0
    assert figures["tokens"] == 13


def test_a_replay_looks_at_as_many_samples_of_every_question():
    bank = Bank({}, (asked("6", "7", "7"), asked("6")))
    figures = replayed(bank, GSM8K)
    assert list(figures)[:3] == ["questions", "samples", "pass_1"]
    assert figures["samples"] == 1
    assert figures["pass_1"] == 1
