from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from langchain_qstar.errors import SettingsError
from langchain_qstar.settings import BUDGETS, QStarSettings


def test_the_defaults_are_those_of_the_paper():
    settings = QStarSettings()
    assert (settings.num_samples, settings.num_trajectories, settings.lam) == (6, 6, 1.0)
    assert (settings.aggregator, settings.h_mode, settings.batch_pops) == ("min", "edge", 1)


@pytest.mark.parametrize(
    "values",
    [
        {"num_samples": 0},
        {"num_samples": 2.5},
        {"num_samples": "6"},
        {"lam": -0.1},
        {"lam": float("nan")},
        {"aggregator": "mean"},
        {"h_mode": "far"},
        {"num_trajectories": 0},
        {"temperature": -1},
        {"temperature": float("inf")},
        {"top_p": 0},
        {"top_p": 1.5},
        {"top_k": -1},
        {"max_depth": 0},
        {"batch_pops": 0},
        {"selection": "best"},
        {"max_pops": 0},
        {"max_tokens": -5},
        {"max_completions": 0},
        {"max_seconds": 0},
        {"max_nodes": 0},
    ],
)
def test_a_value_out_of_range_is_one_line_that_names_the_setting(values: dict[str, Any]):
    with pytest.raises(SettingsError, match=next(iter(values))) as error:
        QStarSettings(**values)
    assert "\n" not in str(error.value)


def test_an_unknown_setting_is_an_error_that_lists_the_known_ones():
    with pytest.raises(SettingsError, match="unknown setting 'num_sample'; known: num_samples"):
        QStarSettings(num_sample=3)


@pytest.mark.parametrize("given", [["max_pops"], "max_pops", 3])
def test_settings_that_are_none_are_refused_in_one_line(given: Any):
    with pytest.raises(SettingsError, match="pass a QStarSettings, or a dict") as error:
        QStarSettings.of(given)
    assert "\n" not in str(error.value)


def test_lambda_may_be_called_by_its_name():
    assert QStarSettings(**{"lambda": 0.5}).lam == 0.5


def test_settings_cannot_be_changed_but_replaced():
    settings = QStarSettings()
    with pytest.raises(ValidationError):
        settings.num_samples = 3  # type: ignore[misc]
    assert settings.replace(max_pops=3, num_samples=2) == QStarSettings(max_pops=3, num_samples=2)
    with pytest.raises(SettingsError, match="max_pops"):
        settings.replace(max_pops=0)


def test_settings_round_trip_through_json():
    settings = QStarSettings(lam=0.5, max_pops=None, selection="majority")
    assert QStarSettings.model_validate_json(settings.model_dump_json()) == settings


def test_the_budgets_are_settings():
    assert set(BUDGETS) <= set(QStarSettings.model_fields)


@pytest.mark.parametrize(
    ("data_set", "aggregator"), [("gsm8k", "min"), ("math", "constant"), ("mbpp", "last")]
)
def test_a_profile_is_the_papers_setting_for_a_data_set(data_set: str, aggregator: str):
    settings = QStarSettings.profile(data_set)  # type: ignore[arg-type]
    assert settings.aggregator == aggregator
    assert (settings.num_samples, settings.num_trajectories, settings.lam) == (6, 6, 1.0)
    assert QStarSettings.profile(data_set, num_samples=2).num_samples == 2  # type: ignore[arg-type]


def test_a_budget_of_tokens_begins_as_many_solutions_as_it_pays_for():
    small, large = QStarSettings.within(100), QStarSettings.within(2000, depth_bias=0.5)
    assert (small.root_samples, small.num_samples, small.max_tokens) == (2, 1, 100)
    assert (large.root_samples, large.num_trajectories, large.depth_bias) == (8, 8, 0.5)


@pytest.mark.parametrize("tokens", [0, -5, 1.5, "many"])
def test_a_budget_that_is_no_count_is_refused(tokens: Any):
    with pytest.raises(SettingsError, match="max_tokens"):
        QStarSettings.within(tokens)


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(SettingsError, match="gsm8k, math, mbpp"):
        QStarSettings.profile("humaneval")  # type: ignore[arg-type]
