"""A GGUF file becomes a folder that transformers loads."""

from __future__ import annotations

import pytest

pytest.importorskip("gguf", reason="needs the extra llamacpp")

from langchain_qstar import cli
from langchain_qstar.errors import InputError, ModelSpecError
from langchain_qstar.models.resolve import resolve_policy
from langchain_qstar.models.transformers.dequantising import dequantise_gguf
from langchain_qstar.scoring.identity import difference, identity_of


@pytest.mark.nano
def test_the_folder_of_a_gguf_file_is_the_same_policy(nano_gguf, tmp_path, capsys):
    folder = tmp_path / "dequantised"
    assert cli.main(["convert", str(nano_gguf), str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    theirs = identity_of(resolve_policy("nano"))
    assert difference(identity_of(resolve_policy(folder)), theirs) is None


def test_what_cannot_be_dequantised_is_refused_in_one_line(tmp_path, capsys):
    with pytest.raises(ModelSpecError, match="there is no file"):
        dequantise_gguf(tmp_path / "none.gguf", tmp_path / "out")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(20))
    with pytest.raises(ModelSpecError, match="transformers cannot read") as caught:
        dequantise_gguf(broken, tmp_path / "out")
    assert "\n" not in str(caught.value)
    (tmp_path / "out").mkdir(exist_ok=True)
    with pytest.raises(InputError, match="is there already; name a new folder"):
        dequantise_gguf(broken, tmp_path / "out")
    arguments = ["convert", str(broken), str(tmp_path / "new"), "--weights", "f16"]
    assert cli.main(arguments) == cli.USAGE
    assert "--weights is for writing a GGUF file" in capsys.readouterr().err
