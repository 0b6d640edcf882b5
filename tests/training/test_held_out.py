from __future__ import annotations

import pytest

from langchain_qstar.scoring.calibration import Bin
from langchain_qstar.training.examples import Example
from langchain_qstar.training.held_out import HeldOut
from langchain_qstar.training.label_file import LabelledQuestion, LabelledStep


def step(parent, text, right, logprob, *, terminal=False):
    return LabelledStep(parent, text, (1,), (logprob,), terminal, right, 1)


@pytest.fixture
def example(sums):
    """A right solution (steps 0 and 1) and a wrong one (2 and 3)."""
    steps = (
        step(-1, "good\n", 1, -1.0),
        step(0, "so 5\n", 1, -1.0, terminal=True),
        step(-1, "bad\n", 0, -0.5),
        step(2, "so 6\n", 0, -2.0, terminal=True),
    )
    return Example(LabelledQuestion("?", steps), sums)


def test_a_solution_is_judged_by_its_least_step_by_its_last_and_by_its_tokens(example):
    values = [0.2, 0.9, 0.4, 0.8]
    figures = HeldOut([example], [values], [[1.0, 1.0, 0.0, 0.0]]).figures()
    assert figures["within_problem_auc_min"] == 0.0  # 0.2 against 0.4
    assert figures["within_problem_auc_last"] == 1.0  # 0.9 against 0.8
    assert figures["within_problem_auc_logprob"] == 1.0  # -1 against -1.25
    assert figures["held_out_problems"] == 1
    # |0.2-1| + |0.9-1| + 0.4 + 0.8, of four steps in a bin each.
    assert figures["ece"] == pytest.approx(2.1 / 4)


def test_the_curve_is_of_the_steps_of_all_problems(example):
    held = HeldOut([example] * 2, [[0.5] * 4] * 2, [[1.0, 0.0, 0.0, 0.0]] * 2)
    assert held.curve() == [Bin(0.5, 0.25, 8)]
