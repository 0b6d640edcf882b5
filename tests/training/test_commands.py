from __future__ import annotations

import json

import pytest

from langchain_qstar import cli


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give a file of questions, or --problems"),
        (["none.jsonl"], "cannot read none.jsonl"),
        (["--problems", "0"], "--problems is 0"),
        (["--problems", "1", "--by", "luck"], "by='luck'; choose one of"),
        (["--problems", "1", "--temperature", "nan"], "temperature is nan"),
        (["--problems", "1", "--policy", "nowhere"], "no such folder or name"),
        (["--problems", "1", "--chat-template", "nowhere"], "chat_template='nowhere'"),
        (["--problems", "1", "--shots", "2"], "the task nano has messages of its own"),
    ],
)
def test_bad_input_of_label_is_one_line_and_exit_code_2(arguments, says, tmp_path, capsys):
    assert run("label", "--out", str(tmp_path / "labels.jsonl"), *arguments) == cli.USAGE
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "labels.jsonl").exists()


def test_bad_input_of_train_is_one_line_and_exit_code_2(tmp_path, capsys):
    labels = tmp_path / "labels.jsonl"
    labels.write_text("{}\n")
    for arguments, says in [
        (["nothing.jsonl"], "cannot read nothing.jsonl"),
        ([str(labels)], "does not begin as a file of labels does"),
        ([str(labels), "--kind", "forest"], "kind='forest'; choose one of"),
    ]:
        assert run("train", *arguments, "--out", str(tmp_path / "head")) == cli.USAGE
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    assert not (tmp_path / "head").exists()


@pytest.mark.nano
def test_the_gold_answers_of_a_file_are_read_or_refused_by_their_line(tmp_path, capsys):
    asked = "Ann has 3 boxes with 4 pens each. How many pens does she have?"
    questions, labels = tmp_path / "questions.jsonl", tmp_path / "labels.jsonl"
    command = ["label", str(questions), "--out", str(labels), "-k", "2"]

    questions.write_text(json.dumps({"question": asked, "answer": "see page 7"}))
    assert run(*command) == cli.USAGE
    error = capsys.readouterr().err
    assert f"{questions}, line 1: the task nano cannot read the gold answer" in error
    assert not labels.exists()

    gold = "Ann has 3*4 = <<3*4=12>>12 pens.\n#### 12"
    questions.write_text(json.dumps({"question": asked, "answer": gold}))
    assert run(*command) == 0
    told = capsys.readouterr()
    assert "a right rollout of 1 questions" in told.out
    assert "no rollout was right" not in told.err

    questions.write_text(json.dumps({"question": asked, "answer": "999"}))
    labels.unlink()
    assert run(*command) == 0
    told = capsys.readouterr()
    assert "a right rollout of 0 questions" in told.out
    assert "warning: no rollout was right, of any of 1 questions" in told.err


@pytest.mark.nano
def test_from_questions_to_a_search_with_a_trained_head(tmp_path, capsys):
    pytest.importorskip("accelerate", reason="needs the train extra")
    labels, head = str(tmp_path / "labels.jsonl"), str(tmp_path / "head")
    assert run("label", "--problems", "6", "--out", labels, "-k", "4") == 0
    assert "6 questions" in capsys.readouterr().out
    trained = ["train", labels, "--out", head, "--kind", "linear", "--epochs", "2"]
    assert run(*trained) == 0
    captured = capsys.readouterr()
    assert "within_problem_auc_last" in captured.out
    assert "epoch 2, held-out error" in captured.err
    question = "Ann has 3 boxes with 4 pens each. How many pens does she have?"
    solved = run("solve", question, "--q-model", head, "--json", "--max-pops", "6")
    assert solved in {cli.ANSWERED, cli.BUDGET_ENDED}
    assert json.loads(capsys.readouterr().out)["q_model"] == "head"
