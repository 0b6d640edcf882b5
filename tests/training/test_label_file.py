from __future__ import annotations

import json

import pytest

from langchain_qstar.errors import LabelError
from langchain_qstar.protocols import Step
from langchain_qstar.training.label_file import (
    LabelFile,
    LabelledQuestion,
    LabelledStep,
    check_policy,
    open_labels,
    read_labels,
)

HEADER = {"format": "qstar-labels-1", "policy": {"name": "a"}, "task": "sums", "seed": 0}
QUESTION = LabelledQuestion(
    "What is 2 and 3?",
    (
        LabelledStep(-1, "2+3=5\n", (1, 2), (-0.5, -0.25), terminal=False, right=2, rollouts=3),
        LabelledStep(0, "so 5\n", (3,), (-1.0,), terminal=True, right=2, rollouts=2),
        LabelledStep(0, "so 6\n", None, (), terminal=True, right=0, rollouts=1),
    ),
    tokens=9,
    completions=3,
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "labels.jsonl"
    open_labels(path, HEADER)
    with path.open("a") as file:
        file.write(QUESTION.to_json() + "\n")
    return path


def test_what_was_written_is_read(path):
    labels = read_labels(path)
    assert labels.questions == (QUESTION,)
    assert labels.header == HEADER
    assert not labels.bad


def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path):
    diary = tmp_path / "diary.txt"
    diary.write_text("Dear diary, without a line's end")
    with pytest.raises(LabelError, match="does not begin as a file of labels"):
        open_labels(diary, HEADER)
    assert diary.read_text() == "Dear diary, without a line's end"


def test_a_first_line_that_a_kill_tore_is_written_again(path):
    whole = path.read_bytes().split(b"\n")[0] + b"\n"
    path.write_bytes(whole[:9])
    assert open_labels(path, HEADER).questions == ()
    assert path.read_bytes() == whole


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path):
    with pytest.raises(LabelError, match=r"cannot write .*: Is a directory"):
        open_labels(tmp_path, HEADER)


def test_a_line_nested_too_deeply_is_a_damaged_one(path):
    with path.open("a") as file:
        file.write("[" * 100_000 + "\n")
    with pytest.raises(LabelError, match="line 3 is damaged"):
        read_labels(path)


def test_a_state_holds_the_steps_before_and_a_path_the_numbers(sums):
    states = QUESTION.states(sums)
    first = Step("2+3=5\n", token_ids=(1, 2), logprobs=(-0.5, -0.25))
    assert [state.steps for state in states] == [(), (first,), (first,)]
    assert states[0].messages == (("user", "What is 2 and 3?"),)
    assert QUESTION.path(2) == [0, 2]
    assert QUESTION.successors() == {-1: [0], 0: [1, 2]}


def test_only_a_right_last_step_is_rewarded():
    assert [step.reward for step in QUESTION.steps] == [0.0, 1.0, 0.0]


def test_a_torn_last_line_is_passed_over_and_dropped_when_the_work_goes_on(path):
    whole = path.read_bytes()
    for cut in range(1, len(QUESTION.to_json()), 37):
        path.write_bytes(whole + QUESTION.to_json().encode()[:cut])
        assert len(read_labels(path).questions) == 1
        assert len(open_labels(path, HEADER).questions) == 1
        assert path.read_bytes() == whole


def test_a_file_that_was_killed_in_its_first_line_starts_anew(path):
    path.write_bytes(json.dumps(HEADER).encode()[:10])
    assert open_labels(path, HEADER).questions == ()
    assert read_labels(path).header == HEADER


@pytest.mark.parametrize(
    "change",
    [
        {"parent": 7},
        {"right": 9},
        {"text": 3},
        {"logprobs": ["x"]},
        {"token_ids": 4},
        {"mood": 1},
    ],
)
def test_a_damaged_line_is_refused_by_its_number_or_left_out(path, change):
    bad = json.loads(QUESTION.to_json())
    bad["steps"][0] |= change
    path.write_text(
        f"{json.dumps(HEADER)}\n{json.dumps(bad)}\nnoise\n{QUESTION.to_json()}\n", encoding="utf-8"
    )
    with pytest.raises(LabelError, match="lines 2, 3 are damaged"):
        read_labels(path)
    labels = read_labels(path, skip_bad=True)
    assert labels.questions == (QUESTION,)
    assert labels.bad == (2, 3)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "other").write_text('{"question": "?"}\n')
    with pytest.raises(LabelError, match="does not begin as a file of labels does"):
        read_labels(tmp_path / "other")
    with pytest.raises(LabelError, match="cannot read"):
        read_labels(tmp_path / "nothing")


def test_a_file_of_other_settings_is_not_continued(path):
    with pytest.raises(LabelError, match=r"another seed \(0, not 1\); choose another --out"):
        open_labels(path, HEADER | {"seed": 1})
    with pytest.raises(LabelError, match="another policy: it differs in the model"):
        open_labels(path, HEADER | {"policy": {"name": "b"}})


def test_labels_of_another_policy_are_refused(path):
    labels = read_labels(path)
    check_policy(labels, {"name": "a"})
    with pytest.raises(LabelError, match=r"differs in the model \(a, not b\)"):
        check_policy(labels, {"name": "b"})


def test_a_file_knows_of_how_many_questions_a_rollout_was_right_or_wrong():
    right = LabelledQuestion(
        "A?", (LabelledStep(-1, "a", None, (), terminal=True, right=1, rollouts=1),)
    )
    wrong = LabelledQuestion(
        "B?", (LabelledStep(-1, "b", None, (), terminal=True, right=0, rollouts=1),)
    )
    labels = LabelFile(HEADER, (QUESTION, right, wrong, wrong))
    assert (labels.ever_right, labels.ever_wrong) == (2, 3)
