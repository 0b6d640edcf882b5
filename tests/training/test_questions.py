from __future__ import annotations

import json

import pytest

from langchain_qstar.errors import LabelError
from langchain_qstar.training.questions import nano_questions, numbered, read_questions

GOOD = '{"question": "What is 2 and 3?", "answer": "5"}'


@pytest.fixture
def file(tmp_path):
    def make(*lines: str):
        path = tmp_path / "questions.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return make


def test_each_question_is_read_once_and_numbers_are_answers_too(file):
    path = file(GOOD, "", '{"question": "What is 1 and 1?", "answer": 2, "id": 7}', GOOD)
    questions = read_questions(path)
    assert [(each.question, each.answer) for each in questions] == [
        ("What is 2 and 3?", "5"),
        ("What is 1 and 1?", "2"),
    ]


def test_words_and_truths_are_answers_and_each_knows_its_line(file):
    path = file('{"question": "Is it cold?", "answer": true}', "", GOOD)
    questions = read_questions(path)
    assert [each.answer for each in questions] == ["True", "5"]
    assert [each.source for each in questions] == [f"{path}, line 1", f"{path}, line 3"]


@pytest.mark.parametrize(
    "bad",
    [
        "{torn",
        "[]",
        "3",
        "[" * 100_000,
        '{"question": "?"}',
        '{"question": "", "answer": "1"}',
        '{"question": "?", "answer": null}',
        '{"question": ["?"], "answer": "1"}',
    ],
)
def test_a_bad_line_is_refused_by_its_number_or_left_out(file, bad):
    path = file(GOOD, bad)
    with pytest.raises(LabelError, match="line 2 is not"):
        read_questions(path)
    assert len(read_questions(path, skip_bad=True)) == 1


def test_many_bad_lines_are_counted():
    assert numbered([3]) == "line 3 is"
    assert numbered([3, 5]) == "lines 3, 5 are"
    assert numbered(range(1, 9)) == "lines 1, 2, 3, 4, 5 and 3 more are"


def test_no_file_and_no_questions_are_one_line(tmp_path, file):
    with pytest.raises(LabelError, match="cannot read"):
        read_questions(tmp_path / "nothing")
    with pytest.raises(LabelError, match="holds no questions"):
        read_questions(file(""))


def test_questions_of_the_bundled_model_are_fresh_and_of_every_length():
    questions = nano_questions(18)
    assert len({each.question for each in questions}) == 18
    assert questions[:9] == nano_questions(9)
    assert nano_questions(3, seed=2) != questions[:3]
    assert json.dumps([each.answer for each in questions])
