"""The head of a model, by one command, beside the model."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

pytest.importorskip("accelerate", reason="needs the train extra")

from langchain_qstar.errors import LabelError
from langchain_qstar.models.resolve import NANO_FOLDER
from langchain_qstar.problems.generator import make_problems
from langchain_qstar.scoring.q_head import Head
from langchain_qstar.training.q_head import main, search_shares

pytestmark = pytest.mark.nano


@pytest.fixture
def folder(tmp_path):
    """A copy of the bundled model without its head."""
    copied = tmp_path / "model"
    shutil.copytree(NANO_FOLDER, copied)
    for name in ("q_head.json", "q_head.safetensors"):
        (copied / name).unlink(missing_ok=True)
    return copied


def test_one_command_labels_trains_and_puts_the_head_beside_the_model(folder, capsys):
    arguments = ["--model", str(folder), "--problems", "6", "--samples", "4", "--epochs", "2"]
    main(arguments)
    figures = capsys.readouterr().out
    assert "within_problem_auc_last: " in figures
    config = json.loads((folder / "q_head.json").read_text())
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert config["model_sha256"] == digest
    assert config["recipe"]["problems"] == 6
    assert "policy" not in config  # the hash says more, and no folder of ours
    assert str(folder) not in json.dumps(config)
    assert Head(folder).layers == (3, 6)
    before = (folder / "q_head.safetensors").read_bytes()
    main(arguments)
    assert (folder / "q_head.safetensors").read_bytes() == before
    with pytest.raises(LabelError, match="another samples"):
        main([*arguments[:4], "--samples", "3"])


def test_a_search_with_the_head_is_compared_with_one_without(folder):
    main(["--model", str(folder), "--problems", "4", "--samples", "3", "--epochs", "1"])
    shares = search_shares(folder, make_problems("dev", 2), max_tokens=150)
    assert set(shares) == {"search_right_with_head", "search_right_without_head"}
    assert all(share in {0.0, 0.5, 1.0} for share in shares.values())
