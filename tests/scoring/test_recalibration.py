from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the train extra")

from langchain_qstar import ScriptedScorer
from langchain_qstar.errors import InputError
from langchain_qstar.protocols import ScoreRequest, State, Step
from langchain_qstar.scoring.calibration import calibration_error
from langchain_qstar.scoring.recalibration import (
    Isotonic,
    Logistic,
    RecalibratedScorer,
    fit_isotonic,
    fit_logistic,
    fit_temperature,
    load_recalibration,
    save_recalibration,
)


def overconfident(seed=0, n=4000):
    """Values whose logits are three times too large, and outcomes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=n)
    outcomes = (rng.random(n) < 1 / (1 + np.exp(-logits))).astype(float)
    return 1 / (1 + np.exp(-3 * logits)), outcomes


def test_a_logistic_map_is_worked_by_hand():
    # logit(0.8) = ln 4; half of it is ln 2, and sigmoid(ln 2) = 2/3.
    assert Logistic(0.5)(np.array([0.8]))[0] == pytest.approx(2 / 3)
    assert Logistic(1.0, math.log(4))(np.array([0.5]))[0] == pytest.approx(0.8)


def test_the_temperature_of_overconfident_values_is_found():
    values, outcomes = overconfident()
    fitted = fit_temperature(values, outcomes)
    assert fitted.slope == pytest.approx(1 / 3, abs=0.03)
    assert fitted.intercept == 0.0


@pytest.mark.parametrize("fit", [fit_temperature, fit_isotonic])
def test_on_fresh_outcomes_recalibrated_values_mean_more(fit):
    recalibration = fit(*overconfident())
    values, outcomes = overconfident(seed=1)
    before = calibration_error(values, outcomes)
    after = calibration_error(recalibration(values), outcomes)
    assert before > 0.1
    assert after < 0.04


def test_shares_are_targets_as_outcomes_are():
    logits = np.array([-1.0, 0.0, 1.0])
    fitted = fit_logistic(logits, 1 / (1 + np.exp(-2 * logits - 0.5)), intercept=True)
    assert (fitted.slope, fitted.intercept) == pytest.approx((2.0, 0.5), abs=1e-3)


def test_outcomes_that_are_all_the_same_fit_nothing():
    assert fit_logistic([0.1, 0.2], [1.0, 1.0], intercept=True) == Logistic(1.0)


def test_a_scorer_that_is_wrong_way_round_is_made_flat_and_not_turned_round():
    values, outcomes = overconfident()
    assert fit_temperature(values, 1 - outcomes).slope == 0.05


@pytest.mark.parametrize("made", [Logistic(0.5, -0.25), Isotonic((0.0, 0.5, 1.0), (0.1, 0.1, 0.9))])
def test_a_map_survives_its_file(made, tmp_path):
    save_recalibration(made, tmp_path / "map.json")
    assert load_recalibration(tmp_path / "map.json") == made


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "magic"}', '{"kind": "logistic", "x": 1}'])
def test_a_broken_file_is_one_line(text, tmp_path):
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(InputError, match="cannot load a recalibration"):
        load_recalibration(tmp_path / "map.json")


async def test_a_recalibrated_scorer_keeps_the_order_and_the_cost():
    scorer = RecalibratedScorer(ScriptedScorer({"a": 0.8, "b": 0.5}), Logistic(0.5))
    request = ScoreRequest(State("?"), (Step("a"), Step("b")))
    scores = scorer.score([request])
    assert scores[0].values == pytest.approx((2 / 3, 0.5))
    assert await scorer.ascore([request]) == scores
    assert scorer.name == "scripted, recalibrated"
