"""A file is dequantised once, and a kill leaves no half of it."""

from __future__ import annotations

import pytest

from langchain_qstar.models.transformers import dequantising


@pytest.fixture
def engines(monkeypatch, tmp_path):
    from real_models import engines

    monkeypatch.setattr(engines, "WORK", tmp_path / "models")
    return engines


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "tiny.gguf"
    made.write_bytes(b"GGUF")
    return made


def test_a_file_is_dequantised_once(engines, file, monkeypatch):
    asked = []

    def dequantise(source, folder):
        asked.append(source)
        folder.mkdir(parents=True)
        return folder

    monkeypatch.setattr(dequantising, "dequantise_gguf", dequantise)
    first = engines.dequantised(file)
    assert first.is_dir()
    assert (engines.dequantised(file), asked) == (first, [file])


def test_what_was_killed_half_way_is_made_anew(engines, file, monkeypatch):
    def killed(_, folder):
        folder.mkdir(parents=True)
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setattr(dequantising, "dequantise_gguf", killed)
    with pytest.raises(KeyboardInterrupt):
        engines.dequantised(file)

    def whole(_, folder):
        folder.mkdir()  # fails where something is there
        return folder

    monkeypatch.setattr(dequantising, "dequantise_gguf", whole)
    assert list(engines.dequantised(file).iterdir()) == []
