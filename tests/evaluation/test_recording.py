"""Figures with where they come from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from langchain_qstar.evaluation.recording import (
    digests,
    print_figures,
    provenance,
    read_record,
    rounded,
    tell,
    work_folder,
    write_record,
)
from langchain_qstar.models.resolve import NANO_FOLDER


def test_a_record_says_what_was_run_and_on_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"abc")
    monkeypatch.setattr("sys.argv", ["speed.py", "--full"])
    found = provenance(tmp_path / "speed.py", ["pydantic"], [weights])
    assert found["command"] == "python benchmarks/speed.py --full"
    assert found["sha256"] == {f"{tmp_path.name}/weights.bin": hashlib.sha256(b"abc").hexdigest()}
    assert set(found["versions"]) == {"pydantic"}


def test_outside_a_repository_the_commit_is_empty(tmp_path: Path):
    assert provenance(tmp_path / "speed.py", [])["commit"] == ""


def test_a_record_reads_back_as_it_was_written(tmp_path: Path):
    path = tmp_path / "results" / "speed.json"
    write_record(path, {"figures": {"speed": 0.25}, "n": 3})
    assert read_record(path) == {"figures": {"speed": 0.25}, "n": 3}


def test_figures_are_a_line_each_and_progress_goes_elsewhere(capsys: pytest.CaptureFixture[str]):
    print_figures({"speed": 1 / 3, "n": 12, "commit": "abc"})
    tell("measuring")
    printed = capsys.readouterr()
    assert printed.out == "speed: 0.3333\nn: 12\ncommit: abc\n"
    assert printed.err == "measuring\n"


def test_what_was_measured_with_other_weights_is_not_gone_on_with(tmp_path: Path):
    weights, script = tmp_path / "weights.bin", tmp_path / "benchmarks" / "speed.py"
    weights.write_bytes(b"abc")
    first = work_folder(script, [weights])
    assert first.parent == tmp_path / "build" / "speed"
    assert work_folder(script, [weights]) == first
    weights.write_bytes(b"abd")
    assert work_folder(script, [weights]) != first


def test_a_file_of_the_repository_is_told_with_its_place_there():
    assert digests([NANO_FOLDER / "config.json"]).keys() == {"langchain_qstar/nano/config.json"}


def test_files_of_one_name_in_two_folders_are_both_told(tmp_path: Path):
    files = [tmp_path / folder / "weights.bin" for folder in ("one", "two")]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(file.parent.name.encode())
    told = digests(files)
    assert told.keys() == {"one/weights.bin", "two/weights.bin"}
    assert len(set(told.values())) == 2


def test_figures_are_rounded_and_counts_and_verdicts_are_not():
    assert rounded({"share": 1 / 3, "questions": 150, "undecided": True}) == {
        "share": 0.3333,
        "questions": 150,
        "undecided": True,
    }
