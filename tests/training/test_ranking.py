"""What the figures of a value model say about searching and voting with it."""

from __future__ import annotations

import math

import pytest

from langchain_qstar.training.examples import Example
from langchain_qstar.training.label_file import LabelledQuestion, LabelledStep
from langchain_qstar.training.ranking import aucs, fitness, middle_auc, ranking_figures


def step(parent, text, right, logprob, *, terminal=False):
    return LabelledStep(parent, text, (1,), (logprob,), terminal, right, 1)


def question(name="?"):
    """A right solution of four steps, a wrong one of two, and one that was cut."""
    return LabelledQuestion(
        name,
        (
            step(-1, "a\n", 1, -1.0),
            step(0, "b\n", 1, -1.0),
            step(1, "c\n", 1, -1.0),
            step(2, "so 5\n", 1, -9.0, terminal=True),
            step(-1, "d\n", 0, -2.0),
            step(4, "so 6\n", 0, -0.5, terminal=True),
            step(-1, "e\n", 0, -3.0),
            step(6, "f\n", 0, -3.0),
        ),
    )


@pytest.fixture
def example(sums):
    return Example(question(), sums)


def test_values_are_read_at_a_share_of_the_steps(example):
    #         a    b    c    end  d    end  e    f
    values = [0.1, 0.9, 0.2, 0.9, 0.1, 0.5, 0.1, 0.5]
    assert aucs(example, values, "50") == 1.0  # b against d and e
    assert aucs(example, values, "75") == 0.0  # c against the ends of both others
    assert aucs(example, values, "end") == 1.0
    assert middle_auc([example], [values]) == 0.5


def test_a_rollout_that_was_cut_is_wrong_on_its_way_and_votes_for_nothing(example):
    cut_best = [0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.9, 0.9]
    assert aucs(example, cut_best, "50") == 0.5
    assert aucs(example, cut_best, "end") == 1.0


def test_a_question_without_right_and_wrong_rollouts_ranks_nothing(sums):
    right = Example(LabelledQuestion("?", (step(-1, "so 5\n", 1, -1.0, terminal=True),)), sums)
    assert aucs(right, [0.5], "50") is None
    assert math.isnan(middle_auc([right], [[0.5]]))
    assert ranking_figures([right], [[0.5]]) == {"ranked_problems": 0.0}


def test_values_are_compared_with_the_log_probability_of_the_same_tokens(sums):
    examples = [Example(question(str(n)), sums) for n in range(4)]
    good = [0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1]
    figures = ranking_figures(examples, [good] * 4)
    assert figures["auc_50"] == figures["auc_end"] == 1.0
    # Up to half of the steps the right one has -1 a token, the others -2 and -3.
    assert figures["logprob_auc_50"] == 1.0
    assert figures["logprob_auc_end"] == 0.0  # -3 against -1.25
    assert figures["gain_end"] == figures["low_gain_end"] == 1.0
    assert figures["ranked_problems"] == 4


def test_without_log_probabilities_values_are_compared_with_chance(sums):
    bare = tuple(
        LabelledStep(each.parent, each.text, None, (), each.terminal, each.right, 1)
        for each in question().steps
    )
    examples = [Example(LabelledQuestion(str(n), bare), sums) for n in range(2)]
    figures = ranking_figures(examples, [[0.9] * 4 + [0.1] * 4] * 2)
    assert figures["gain_50"] == 0.5
    assert "logprob_auc_50" not in figures
    assert "minus that of chance" in fitness(figures)


def gains(middle, end):
    figures = {"logprob_auc_middle": 0.5}
    for name, (low, high) in {"middle": middle, "end": end}.items():
        figures |= {f"low_gain_{name}": low, f"high_gain_{name}": high}
        figures[f"gain_{name}"] = (low + high) / 2
    return figures


ABOVE, BELOW, OPEN = (0.02, 0.1), (-0.1, -0.02), (-0.03, 0.05)


@pytest.mark.parametrize(
    ("middle", "end", "says"),
    [
        (ABOVE, ABOVE, "Fits search and vote weight: "),
        (ABOVE, BELOW, "Fits search: "),
        (BELOW, ABOVE, "Fits vote weight: "),
        (ABOVE, OPEN, "Fits search (vote weight undecided): "),
        (BELOW, BELOW, "Fits neither search nor vote weight: "),
        (OPEN, BELOW, "Undecided for search: "),
        (OPEN, OPEN, "Undecided: "),
    ],
)
def test_one_sentence_says_which_use_it_fits(middle, end, says):
    said = fitness(gains(middle, end))
    assert said.startswith(says)
    assert said.count(".\n") == 0
    assert said.endswith(".")
    assert "minus that of log-probability is in mid-path" in said


def test_too_few_questions_decide_nothing():
    assert fitness({"ranked_problems": 1.0}).startswith("Undecided: too few held-out questions")
