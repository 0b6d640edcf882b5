from __future__ import annotations

import pytest

from langchain_qstar.errors import ModelSpecError, UnguidedWarning
from langchain_qstar.models.scripted import ScriptedPolicy, ScriptedScorer
from langchain_qstar.scoring import (
    AgreementScorer,
    CallableScorer,
    LogProbabilityScorer,
    PathLogProbabilityScorer,
    default_scorer,
    resolve,
    resolve_scorer,
)

POLICY = ScriptedPolicy({}, logprob=-0.1)


def test_none_is_none():
    assert resolve_scorer(None, POLICY) is None


def test_a_scorer_is_itself():
    scorer = ScriptedScorer({})
    assert resolve_scorer(scorer, POLICY) is scorer


def test_a_function_becomes_a_scorer():
    assert isinstance(resolve_scorer(lambda state, steps: [], POLICY), CallableScorer)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("log-probability", LogProbabilityScorer),
        ("path-log-probability", PathLogProbabilityScorer),
        ("agreement", AgreementScorer),
    ],
)
def test_scorers_that_need_no_model_have_a_name(name, kind):
    scorer = resolve_scorer(name, POLICY)
    assert isinstance(scorer, kind)
    assert scorer.name == name


@pytest.mark.parametrize("name", ["log-probability", "path-log-probability"])
def test_log_probabilities_are_refused_where_there_are_none(name):
    with pytest.raises(ModelSpecError, match='gives no log-probabilities; use "agreement"'):
        resolve_scorer(name, ScriptedPolicy({}))


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


def test_the_default_reads_log_probabilities_where_no_head_ships(monkeypatch, tmp_path):
    monkeypatch.setattr(resolve, "NANO_FOLDER", tmp_path)
    expected = resolve.foreign_scorer().name
    assert default_scorer(POLICY).name == expected
    assert default_scorer(ScriptedPolicy({}, name="nano", logprob=-0.1)).name == expected


def test_the_default_is_agreement_where_there_are_no_log_probabilities_and_says_so():
    with pytest.warns(UnguidedWarning, match="scripted gives none"):
        assert default_scorer(ScriptedPolicy({})).name == "agreement"
