from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("gguf", reason="needs the extra llamacpp")

from gguf import GGUFReader
from hypothesis import given
from hypothesis import strategies as st

from langchain_qstar import cli
from langchain_qstar.errors import InputError, ModelSpecError
from langchain_qstar.models.llamacpp.export import export_gguf
from langchain_qstar.models.resolve import NANO_FOLDER
from langchain_qstar.problems.generator import make_problems


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy of the tiny model's folder, to be spoiled."""
    return shutil.copytree(tiny_folder, tmp_path / "copy")


@pytest.fixture
def change(folder):
    """Writes a value deep into one of the folder's JSON files."""

    def write(file, *keys, value):
        read = json.loads((folder / file).read_text("utf-8"))
        inner = read
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        (folder / file).write_text(json.dumps(read), "utf-8")

    return write


def tensors_of(file):
    return {tensor.name: tensor for tensor in GGUFReader(file).tensors}


class TestWhatIsWritten:
    def test_the_rows_of_a_head_change_places_in_pairs(self, tiny_folder, tiny_gguf):
        from safetensors.numpy import load_file

        stored = load_file(tiny_folder / "model.safetensors")
        # 2 key heads of 8 rows: row 1 of llama.cpp is row 4 of transformers, row 2 its row 1.
        rows = [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]
        ours = tensors_of(tiny_gguf)["blk.1.attn_k.weight"].data
        theirs = stored["model.layers.1.self_attn.k_proj.weight"]
        np.testing.assert_array_equal(ours, theirs[rows])
        values = stored["model.layers.1.self_attn.v_proj.weight"]
        np.testing.assert_array_equal(tensors_of(tiny_gguf)["blk.1.attn_v.weight"].data, values)

    def test_an_output_of_its_own_is_kept_and_a_tied_one_is_not(self, tiny_gguf, nano_gguf):
        assert "output.weight" in tensors_of(tiny_gguf)
        assert "output.weight" not in tensors_of(nano_gguf)

    def test_the_end_token_may_stand_with_the_tokenizer(self, folder, change, tmp_path):
        change("config.json", "eos_token_id", value=None)
        file = export_gguf(folder, tmp_path / "out.gguf")
        assert GGUFReader(file).fields["tokenizer.ggml.eos_token_id"].contents() == 0

    def test_places_without_a_word_are_marked_unused(self, folder, change, tmp_path):
        from gguf import TokenType

        change("config.json", "vocab_size", value=264)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("langchain_qstar.models.llamacpp.export._tensors", lambda _: [])
            file = export_gguf(folder, tmp_path / "padded.gguf")
        field = GGUFReader(file).fields["tokenizer.ggml.token_type"]
        kinds = [int(field.parts[place][0]) for place in field.data]
        assert kinds[:4] == [TokenType.CONTROL] * 3 + [TokenType.NORMAL]
        assert kinds[-5:] == [TokenType.UNUSED] * 5

    def test_matrices_can_be_stored_small_and_vectors_never_are(self, tiny_folder, tmp_path):
        large, small = (
            export_gguf(tiny_folder, tmp_path / f"{kind}.gguf", weights=kind)
            for kind in ("f16", "q8_0")
        )
        assert tensors_of(large)["blk.0.ffn_up.weight"].tensor_type.name == "F16"
        assert tensors_of(small)["blk.0.ffn_up.weight"].tensor_type.name == "Q8_0"
        assert tensors_of(small)["blk.0.ffn_norm.weight"].tensor_type.name == "F32"
        assert small.stat().st_size < large.stat().st_size


class TestWhatItSays:
    @given(text=st.text(max_size=40))
    def test_any_text_becomes_the_same_tokens(self, text, readers):
        theirs, ours = readers
        assert ours.encode(text) == theirs.encode(text)

    @pytest.mark.nano
    def test_problems_become_the_same_tokens(self, readers):
        theirs, ours = readers
        for problem in make_problems("test", 20):
            message = (("user", problem.question),)
            assert ours.prompt(message) == theirs.prompt(message)

    @pytest.mark.nano
    @given(text=st.text(alphabet="ab 12'\n\t.é€=*<|user|>", max_size=30))
    def test_text_with_digits_spaces_and_control_tokens_becomes_the_same(self, text, readers):
        theirs, ours = readers
        ids = theirs.encode(text)
        assert ours.encode(text) == ids
        assert ours.decode(ids) == theirs.decode(ids)


@pytest.fixture(scope="module")
def readers(nano_gguf):
    """The codecs of the bundled model: of transformers, and of llama.cpp."""
    pytest.importorskip("llama_cpp", reason="needs the extra llamacpp")
    import transformers

    from langchain_qstar.models.engine.text import TextCodec
    from langchain_qstar.models.llamacpp.loading import GGUFModel
    from langchain_qstar.models.llamacpp.tokenizer import GGUFTokenizer

    tokenizer = transformers.AutoTokenizer.from_pretrained(NANO_FOLDER)
    return TextCodec(tokenizer), TextCodec(GGUFTokenizer(GGUFModel(nano_gguf)))


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("file", "keys", "value", "says"),
        [
            ("config.json", ["architectures"], ["MambaForCausalLM"], "its architecture"),
            ("config.json", ["rope_parameters", "rope_type"], "llama3", "its scaled positions"),
            ("config.json", ["attention_bias"], True, "its biases"),
            ("tokenizer.json", ["model", "type"], "Unigram", "its tokenizer"),
            ("tokenizer.json", ["pre_tokenizer", "add_prefix_space"], True, "its tokenizer"),
            ("tokenizer.json", ["model", "merges"], [["a", "b"]], "its tokenizer"),
        ],
    )
    def test_what_would_speak_nonsense(self, folder, change, tmp_path, file, keys, value, says):
        change(file, *keys, value=value)
        with pytest.raises(ModelSpecError, match=f"{says} cannot be converted here; use convert"):
            export_gguf(folder, tmp_path / "out.gguf")
        assert not (tmp_path / "out.gguf").exists()

    def test_a_model_that_never_ends(self, folder, change, tmp_path):
        change("config.json", "eos_token_id", value=None)
        change("tokenizer_config.json", "eos_token", value=None)
        with pytest.raises(ModelSpecError, match="names no end token"):
            export_gguf(folder, tmp_path / "out.gguf")

    def test_a_folder_without_a_model(self, tmp_path):
        with pytest.raises(ModelSpecError, match=r"config\.json.*give a model's folder"):
            export_gguf(tmp_path, tmp_path / "out.gguf")

    def test_damaged_weights(self, folder, tmp_path):
        (folder / "model.safetensors").write_bytes(b"nothing")
        with pytest.raises(ModelSpecError, match=r"cannot read .*model\.safetensors"):
            export_gguf(folder, tmp_path / "out.gguf")

    def test_a_tensor_that_is_not_known(self, folder, tmp_path):
        from safetensors.numpy import load_file, save_file

        stored = load_file(folder / "model.safetensors")
        stored["model.layers.0.self_attn.q_norm.weight"] = np.ones(8, dtype=np.float32)
        save_file(stored, folder / "model.safetensors")
        with pytest.raises(ModelSpecError, match=r"q_norm\.weight is not known"):
            export_gguf(folder, tmp_path / "out.gguf")

    def test_a_place_that_cannot_be_written(self, tiny_folder, tmp_path):
        with pytest.raises(InputError, match="cannot write"):
            export_gguf(tiny_folder, tmp_path / "nowhere" / "out.gguf")

    def test_another_kind_of_weights(self, tiny_folder, tmp_path):
        with pytest.raises(InputError, match="write one of f32, f16, q8_0"):
            export_gguf(tiny_folder, tmp_path / "out.gguf", weights="q4_0")  # type: ignore[arg-type]


def test_the_command_writes_the_file_and_says_where(tiny_folder, tiny_gguf, tmp_path, capsys):
    file = tmp_path / "again.gguf"
    assert cli.main(["convert", str(tiny_folder), str(file)]) == cli.ANSWERED
    assert capsys.readouterr().out == f"{file}\n"
    assert file.read_bytes() == tiny_gguf.read_bytes()
