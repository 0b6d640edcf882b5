"""The figures a scorer is judged by, on numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from langchain_qstar.scoring.calibration import calibration_error, within_group_auc


def test_auc_is_judged_within_each_problem() -> None:
    # first problem: 2 right, 1 wrong, one of two pairs won; second: a tie; third says nothing
    scores = [[0.9, 0.2, 0.5], [0.3, 0.3], [0.1, 0.8]]
    right = [[True, True, False], [True, False], [True, True]]
    assert within_group_auc(scores, right) == pytest.approx((0.5 + 0.5) / 2)


def test_a_scorer_that_only_knows_easy_from_hard_problems_has_auc_one_half() -> None:
    scores = [[0.9, 0.9], [0.1, 0.1]]
    assert within_group_auc(scores, [[True, False], [True, False]]) == 0.5


def test_auc_without_mixed_problems_is_undefined() -> None:
    assert math.isnan(within_group_auc([[0.5]], [[True]]))


def test_calibration_error_weighs_each_bins_gap_by_its_size() -> None:
    # bin 0.2: three values, mean target 1/3, gap 0.083; bin 0.9: one value, gap 0.05
    values, targets = np.array([0.25, 0.25, 0.25, 0.95]), np.array([0.0, 0.0, 1.0, 1.0])
    expected = 0.75 * (1 / 3 - 0.25) + 0.25 * 0.05
    assert calibration_error(values, targets) == pytest.approx(expected)


def test_a_value_of_one_falls_into_the_last_bin() -> None:
    assert calibration_error(np.array([1.0]), np.array([1.0])) == 0.0
