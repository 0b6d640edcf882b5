"""Intervals, on numbers worked out by hand."""

from __future__ import annotations

import pytest

from langchain_qstar.evaluation.intervals import (
    difference_figures,
    interpolate,
    paired_difference,
    share_figures,
    wilson,
)


def test_wilson_agrees_with_a_published_example() -> None:
    # 81 of 263 (Newcombe 1998, table I): 0.2553 to 0.3662
    low, high = wilson(81, 263)
    assert low == pytest.approx(0.2553, abs=5e-4)
    assert high == pytest.approx(0.3662, abs=5e-4)


def test_no_trials_say_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_paired_difference_of_equal_values_is_zero() -> None:
    assert paired_difference([1, 0, 1], [1, 0, 1]) == (0.0, 0.0, 0.0)


def test_a_constant_paired_difference_has_no_width() -> None:
    assert paired_difference([1.0] * 5, [0.0] * 5) == (1.0, 1.0, 1.0)


def test_figures_are_named_after_what_they_are_of() -> None:
    right = [1.0] * 81 + [0.0] * 182
    shown = share_figures("vote", right)
    assert list(shown) == ["vote", "low_vote", "high_vote"]
    assert tuple(shown.values()) == pytest.approx((81 / 263, 0.2553, 0.3662), abs=5e-4)
    gained = difference_figures("gain", [1.0, 0.0, 1.0], [0.0, 0.0, 1.0])
    assert list(gained) == ["gain", "low_gain", "high_gain"]
    assert tuple(gained.values()) == paired_difference([1.0, 0.0, 1.0], [0.0, 0.0, 1.0])


def test_pairs_must_match() -> None:
    with pytest.raises(ValueError, match="paired"):
        paired_difference([1.0], [])


def test_interpolation_is_linear_between_settings_and_flat_outside() -> None:
    points = [(100.0, 0.5), (300.0, 0.7)]
    assert interpolate(points, 200) == pytest.approx(0.6)
    assert interpolate(points, 50) == 0.5
    assert interpolate(points, 900) == 0.7
