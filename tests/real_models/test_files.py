"""A benchmark measures the file that it says, or says why it measures nothing."""

import hashlib

import pytest

NAME = "qwen2.5-coder-0.5b"
FILE = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"


def refused(policy):
    from real_models.files import AbsentError, model_file

    with pytest.raises(AbsentError) as caught:
        model_file(policy)
    return str(caught.value)


def test_without_a_folder_of_models_it_says_which_variable_to_set(monkeypatch):
    monkeypatch.delenv("QSTAR_MODELS", raising=False)
    said = refused(NAME)
    assert "set it" in said
    assert f"{FILE} of Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF" in said


def test_a_file_that_is_not_in_the_folder_is_named_with_its_repository(monkeypatch, tmp_path):
    monkeypatch.setenv("QSTAR_MODELS", str(tmp_path))
    assert f"has no {FILE} of Qwen/" in refused(NAME)


def test_a_file_of_another_content_is_not_measured_under_the_name(monkeypatch, tmp_path):
    monkeypatch.setenv("QSTAR_MODELS", str(tmp_path))
    (tmp_path / FILE).write_bytes(b"GGUF and something else")
    found = hashlib.sha256(b"GGUF and something else").hexdigest()
    said = refused(NAME)
    assert f"has the SHA-256 {found[:12]}…, not 1d9614638d18…" in said
    assert f"--policy gguf:{FILE}" in said


def test_any_file_is_taken_by_its_path(tmp_path):
    from real_models.files import model_file

    file = tmp_path / "any.gguf"
    file.write_bytes(b"GGUF")
    assert model_file(f"gguf:{file}") == file
    assert "there is no file" in refused(f"gguf:{tmp_path / 'none.gguf'}")


def test_records_come_in_the_order_of_the_file(monkeypatch, tmp_path):
    from real_models import files

    (tmp_path / "sums.jsonl").write_text('{"id": "a"}\n{"id": "b"}\n{"id": "c"}\n', "utf-8")
    monkeypatch.setattr(files, "DATA", tmp_path)
    assert [each["id"] for each in files.records("sums", 2)] == ["a", "b"]
    assert [each["id"] for each in files.records("sums")] == ["a", "b", "c"]
    with pytest.raises(files.AbsentError, match=r"no other\.jsonl"):
        files.records("other")


def test_a_policy_has_a_short_name_without_the_place_of_its_file():
    from real_models.files import short_name

    assert short_name(NAME) == NAME
    assert short_name("gguf:/some/where/tiny-2.5b.gguf") == "tiny-2.5b"
