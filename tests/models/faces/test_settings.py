from __future__ import annotations

import pytest

from langchain_qstar import ModelSpecError, ScriptedPolicy, SettingsError, State
from langchain_qstar.models.faces.settings import (
    CallSettings,
    known_only,
    local_policy,
    one_answer,
    without_stop,
)
from langchain_qstar.protocols import Completion

STATE = State("?")


def test_a_call_replaces_what_it_gives_and_keeps_the_rest():
    made = CallSettings(temperature=0.5, stop=["a"], seed=3)
    called = made.for_call(None, {"top_p": 0.5, "stream": True})
    assert (called.temperature, called.top_p, called.stop) == (0.5, 0.5, ["a"])
    assert made.for_call(["b"], {}).stop == ["b"]
    assert made.for_call([], {}).stop == []
    assert made.top_p == 1.0


def test_the_request_has_all_of_it():
    settings = CallSettings(
        temperature=0.1,
        top_p=0.2,
        top_k=3,
        min_p=0.4,
        repetition_penalty=1.5,
        max_tokens=6,
        stop=["x"],
        grammar="start: /a/",
        n=2,
        seed=1,
    )
    request = settings.request(STATE)
    assert (request.temperature, request.top_p, request.top_k, request.min_p) == (0.1, 0.2, 3, 0.4)
    assert (request.repetition_penalty, request.max_tokens, request.stop) == (1.5, 6, ("x",))
    assert (request.grammar, len(set(request.seeds))) == ("start: /a/", 2)


def test_seeds_follow_from_the_seed_and_without_one_differ():
    assert CallSettings(seed=1).request(STATE) == CallSettings(seed=1).request(STATE)
    first = CallSettings(seed=1, n=3).request(STATE).seeds
    assert first[:2] == CallSettings(seed=1, n=2).request(STATE).seeds
    assert first[:1] != CallSettings(seed=2).request(STATE).seeds
    assert CallSettings().request(STATE).seeds != CallSettings().request(STATE).seeds


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": -1}, "temperature=-1: .* greater than or equal to 0"),
        ({"top_p": 0}, "top_p=0: "),
        ({"n": 0}, "n=0: "),
        ({"max_tokens": 1.5}, "max_tokens=1.5: "),
        ({"timeout": 0}, "timeout=0: "),
        ({"stop": ["a", ""]}, "stop.1='': .* at least 1 character"),
        ({"temprature": 1}, "unknown argument 'temprature'; known: temperature, "),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(given, message):
    with pytest.raises(SettingsError, match=message) as caught:
        CallSettings().for_call(None, given)
    assert "\n" not in str(caught.value)


def test_an_empty_stop_string_of_a_call_is_refused():
    with pytest.raises(SettingsError, match=r"stop\.0=''"):
        CallSettings().for_call([""], {})


def test_standard_arguments_that_mean_nothing_are_dropped_and_others_unknown():
    fields = {"n": None}
    assert known_only({"n": 2, "api_key": "k", "max_retries": 3}, fields) == {"n": 2}
    with pytest.raises(SettingsError, match="unknown argument 'm'; known: model, "):
        known_only({"m": 2}, fields)


def test_only_models_of_this_process_will_do():
    with pytest.raises(ModelSpecError, match="does not run in this process"):
        local_policy(ScriptedPolicy({}))


def test_one_answer_can_be_streamed():
    request = CallSettings(n=2).request(STATE)
    with pytest.raises(SettingsError, match="n=2: one answer"):
        one_answer(request)


@pytest.mark.parametrize(
    ("text", "finish", "kept"),
    [("abc", "stop", "a"), ("abc", "eos", "abc"), ("abc", "length", "abc"), ("c", "stop", "")],
)
def test_the_stop_string_is_no_part_of_the_answer(text, finish, kept):
    assert without_stop(text, Completion(text, finish=finish), ["c", "bc", "zz"]) == kept
