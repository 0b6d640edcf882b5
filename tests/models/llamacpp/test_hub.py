from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub", reason="needs the extra llamacpp")

from langchain_qstar.errors import ModelSpecError
from langchain_qstar.models.llamacpp.hub import gguf_file


@pytest.fixture
def hub(monkeypatch):
    """A hub that has every file; what is fetched from it."""
    fetched = []

    def fetch(repo, file, *, revision):
        fetched.append((repo, file, revision))
        return f"/cache/{file}"

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    return fetched


def test_a_file_on_disk_is_itself(tmp_path, hub):
    (tmp_path / "a.gguf").touch()
    assert gguf_file(str(tmp_path / "a.gguf")) == (tmp_path / "a.gguf").resolve()
    assert not hub


def test_a_file_on_the_hub_is_fetched(hub):
    assert gguf_file("org/some-model.v2:sub/model-q4.gguf", "main") == Path(
        "/cache/sub/model-q4.gguf"
    )
    assert hub == [("org/some-model.v2", "sub/model-q4.gguf", "main")]


def test_all_parts_of_a_model_are_fetched_and_the_first_is_loaded(hub):
    first = gguf_file("org/large:large-00001-of-00003.gguf")
    assert first == Path("/cache/large-00001-of-00003.gguf")
    assert [file for _, file, _ in hub] == [f"large-0000{n}-of-00003.gguf" for n in (1, 2, 3)]


@pytest.mark.parametrize("place", ["", "nothing.gguf", "org/name", "org/name:model.bin", "a:b:c"])
def test_what_is_neither_is_one_line(place, hub):
    with pytest.raises(ModelSpecError, match=r"write gguf:FILE, or gguf:ORG/NAME:FILE"):
        gguf_file(place)
    assert not hub


def test_what_the_hub_does_not_have_is_one_line():
    with pytest.raises(ModelSpecError, match=r"cannot fetch b\.gguf of nobody/nothing") as caught:
        gguf_file("nobody/nothing:b.gguf")
    assert "\n" not in str(caught.value)
