from __future__ import annotations

import json

import pytest

from langchain_qstar import cli
from langchain_qstar.evaluation.banks import Asked, Bank, Kept, write_bank
from langchain_qstar.solution import Sample
from langchain_qstar.training.labelling import Teller
from langchain_qstar.training.progress import Progress


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give a file of questions, --problems N"),
        (["none.jsonl"], "cannot read none.jsonl"),
        (["--problems", "0"], "--problems is 0"),
        (["--problems", "1", "--by", "luck"], "by='luck'; choose one of"),
        (["--problems", "1", "--temperature", "nan"], "temperature is nan"),
        (["--problems", "1", "--policy", "nowhere"], "no such folder or name"),
        (["--problems", "1", "--chat-template", "nowhere"], "chat_template='nowhere'"),
        (["--problems", "1", "--shots", "2"], "the task nano has messages of its own"),
        (["--problems", "1", "--max-tokens", "0"], "max_tokens is 0"),
        (["--problems", "1", "--rescore"], "--rescore is for --from-bank"),
        (["--from-bank", "none.xz"], "cannot read none.xz"),
        (["--from-bank", "none.xz", "--seed", "1"], "--seed means nothing with --from-bank"),
        (["--from-bank", "none.xz", "--by", "omega"], "a bank holds sampled solutions"),
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
    assert "% of samples right, right and wrong ones of" in told.err
    assert "no rollout was right" not in told.err

    questions.write_text(json.dumps({"question": asked, "answer": "999"}))
    labels.unlink()
    assert run(*command) == 0
    told = capsys.readouterr()
    assert "a right rollout of 0 questions" in told.out
    assert "warning: no rollout was right, of any of 1 questions" in told.err


def told(done, right, rollouts, total=40):
    return Progress(done, total, 100, 10, right, rollouts, 0)


def test_samples_that_all_say_the_same_are_warned_of_once_and_early(capsys):
    teller = Teller()
    for done in range(1, 30):
        teller(told(done, 0, 8 * done))
    error = capsys.readouterr().err
    assert "labelled 19 of 40 questions, 100 tokens in 10 completions; 0% of samples right" in error
    assert error.count("warning: no rollout was right, of any of 20 questions") == 1
    assert error.count("warning") == 1
    teller = Teller()
    for done in range(1, 30):
        teller(told(done, 8 * done, 8 * done))
    assert "warning: every rollout of 20 questions was right" in capsys.readouterr().err


def test_samples_of_both_kinds_and_too_few_questions_are_not_warned_of(capsys):
    teller = Teller()
    for progress in (told(19, 0, 152), told(20, 1, 160), told(40, 0, 320)):
        teller(progress)
    assert "warning" not in capsys.readouterr().err


@pytest.mark.nano
def test_tokens_end_a_collection_and_the_same_command_goes_on(tmp_path, capsys):
    out = str(tmp_path / "labels.jsonl")
    command = ["label", "--problems", "40", "--out", out, "-k", "2"]
    assert run(*command, "--max-tokens", "500") == 0
    error = capsys.readouterr().err
    assert "stopped by --max-tokens with" in error
    assert run(*command, "--max-tokens", "900") == 0
    assert "stopped by --max-tokens with" in capsys.readouterr().err


@pytest.mark.nano
def test_a_bank_is_labelled_without_sampling(tmp_path, capsys):
    asked = "Ann has 3 boxes with 4 pens each. How many pens does she have?"
    samples = tuple(
        Kept(Sample(text=f"3*4={n}\nThe answer is {n}.\n", finish="stop")) for n in (12, 13)
    )
    write_bank(tmp_path / "bank.xz", Bank({"model": "nano"}, (Asked("a", asked, "12", samples),)))
    out = str(tmp_path / "labels.jsonl")
    assert run("label", "--from-bank", str(tmp_path / "bank.xz"), "--rescore", "--out", out) == 0
    told = capsys.readouterr()
    assert "50% of samples right, right and wrong ones of 100% of questions" in told.err
    steps = json.loads((tmp_path / "labels.jsonl").read_text().splitlines()[1])["steps"]
    assert all(len(step["logprobs"]) == len(step["token_ids"]) > 0 for step in steps)
    (tmp_path / "bank.xz").write_text("no bank")
    assert run("label", "--from-bank", str(tmp_path / "bank.xz"), "--out", out) == cli.USAGE
    assert "holds no bank of samples" in capsys.readouterr().err


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
    assert "questions have right and wrong rollouts; below 30" in captured.err
    assert any(word in captured.out.splitlines()[-1] for word in ("Fits", "Undecided"))
    assert "epoch 2, held-out error" in captured.err
    question = "Ann has 3 boxes with 4 pens each. How many pens does she have?"
    solved = run("solve", question, "--q-model", head, "--json", "--max-pops", "6")
    assert solved in {cli.ANSWERED, cli.BUDGET_ENDED}
    assert json.loads(capsys.readouterr().out)["q_model"] == "head"
