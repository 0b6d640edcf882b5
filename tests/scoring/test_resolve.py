from __future__ import annotations

import pytest

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.scoring import (
    CallableScorer,
    LogProbabilityScorer,
    default_scorer,
    resolve,
    resolve_scorer,
)

POLICY = ScriptedPolicy({})


def test_none_is_none():
    assert resolve_scorer(None, POLICY) is None


def test_a_scorer_is_itself():
    scorer = ScriptedScorer({})
    assert resolve_scorer(scorer, POLICY) is scorer


def test_a_function_becomes_a_scorer():
    assert isinstance(resolve_scorer(lambda state, steps: [], POLICY), CallableScorer)


def test_log_probabilities_have_a_name():
    assert isinstance(resolve_scorer("log-probability", POLICY), LogProbabilityScorer)


def test_the_bundled_head_needs_the_bundled_model():
    with pytest.raises(ModelSpecError, match='belongs to policy="nano"'):
        resolve_scorer("nano", POLICY)


def test_a_folder_without_a_head_is_refused(tmp_path):
    with pytest.raises(ModelSpecError, match="no Q head"):
        resolve_scorer(tmp_path, POLICY)


@pytest.mark.parametrize("name", ["nowhere", "", "x" * 5000])
def test_a_name_that_is_none_lists_the_known_ones(name):
    with pytest.raises(ModelSpecError, match=r"log-probability, nano, .*orm:MODEL") as error:
        resolve_scorer(name, POLICY)
    assert len(str(error.value)) < 500


def test_what_is_not_a_scorer_is_refused():
    with pytest.raises(ModelSpecError, match="not understood"):
        resolve_scorer(7, POLICY)  # type: ignore[arg-type]


def test_the_default_is_log_probability_where_no_head_ships(monkeypatch, tmp_path):
    monkeypatch.setattr(resolve, "NANO_FOLDER", tmp_path)
    assert isinstance(default_scorer(POLICY), LogProbabilityScorer)
    assert isinstance(default_scorer(ScriptedPolicy({}, name="nano")), LogProbabilityScorer)
