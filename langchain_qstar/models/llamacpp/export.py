"""A folder of a small Llama as a GGUF file, the format of llama.cpp.

Made for models of `langchain_qstar.training.nano` and their like: the architecture
`LlamaForCausalLM` without scaled positions, and a byte-level BPE tokenizer that
splits text as GPT-2 does. For anything else llama.cpp brings its own
`convert_hf_to_gguf.py`.

llama.cpp rotates neighbouring pairs of a head's dimensions, transformers pairs a
dimension with the one half a head further; so the rows of the query and key
projections change places, as in llama.cpp's own converter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np

from langchain_qstar.errors import InputError, MissingExtraError, ModelSpecError

try:
    import gguf
    from safetensors.numpy import load_file
except ImportError as error:
    raise MissingExtraError(error.name or "gguf", "llamacpp") from error

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Weights: TypeAlias = Literal["f32", "f16", "q8_0"]

_KINDS: Final = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
_NAMES: Final = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER_NAMES: Final = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_NO_MERGE: Final = "! !"
"""llama.cpp wants at least one; as "!!" is no token where nothing merges, it splits it again."""

_ELSEWHERE: Final = "use convert_hf_to_gguf.py of llama.cpp"


@dataclass(frozen=True)
class _Folder:
    """What lies in a folder of transformers' format."""

    path: Path
    config: dict[str, Any]
    tokenizer: dict[str, Any]
    template: str | None
    end: str | None

    @classmethod
    def read(cls, path: Path) -> _Folder:
        config = _json(path / "config.json")
        tokenizer = _json(path / "tokenizer.json")
        described = _json(path / "tokenizer_config.json")
        template = described.get("chat_template")
        written = path / "chat_template.jinja"
        if written.is_file():
            template = written.read_text("utf-8")
        end = described.get("eos_token")
        return cls(
            path, config, tokenizer, template, end["content"] if isinstance(end, dict) else end
        )


def export_gguf(folder: Path | str, file: Path | str, *, weights: Weights = "f32") -> Path:
    """Write the model of `folder` to `file`.

    The model is called by the name of the folder; `nano` keeps its tokenizer, its
    chat template and, read by `LlamaCppPolicy`, its task and its Q head.

    Args:
        folder: In transformers' format, with `model.safetensors`.
        file: Is replaced, if it is there.
        weights: How matrices are stored: `f32` and `f16` as they say, `q8_0` in
            8 bits with a scale for every 32. Vectors are always f32.

    Returns:
        `file`.

    Raises:
        ModelSpecError: The folder holds no model, or one that is not of this kind.
        InputError: `file` cannot be written.
    """
    if weights not in get_args(Weights):
        raise InputError(f"weights={weights!r}: write one of {', '.join(get_args(Weights))}")
    source, file = _Folder.read(Path(folder)), Path(file)
    _check(source)
    kind, file_type = _KINDS[weights]
    writer = gguf.GGUFWriter(file, "llama")
    _add_shape(writer, source)
    writer.add_file_type(file_type)
    _add_tokenizer(writer, source)
    for name, tensor in _tensors(source):
        stored = kind if tensor.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quantize(tensor, stored), raw_dtype=stored)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror or error}") from error
    return file


def _json(file: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelSpecError(f"cannot read {file}: {error}; give a model's folder") from error
    return read


def _check(source: _Folder) -> None:
    """Refuse what would convert and then speak nonsense."""
    config, tokenizer = source.config, source.tokenizer
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    model, before = (tokenizer.get(part) or {} for part in ("model", "pre_tokenizer"))
    unfit = {
        "its architecture": config.get("architectures") != ["LlamaForCausalLM"],
        "its scaled positions": rope.get("rope_type", "default") != "default",
        "its biases": bool(config.get("attention_bias") or config.get("mlp_bias")),
        "its tokenizer": model.get("type") != "BPE"
        or (before.get("type"), before.get("add_prefix_space")) != ("ByteLevel", False)
        or not (before.get("use_regex", True) or not model.get("merges")),
    }
    for part, known in unfit.items():
        if known:
            raise ModelSpecError(f"{source.path}: {part} cannot be converted here; {_ELSEWHERE}")


def _add_shape(writer: gguf.GGUFWriter, source: _Folder) -> None:
    config = source.config
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or config
    writer.add_name(source.path.resolve().name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(rope.get("rope_theta", 10000.0))
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: gguf.GGUFWriter, source: _Folder) -> None:
    model, size = source.tokenizer["model"], source.config["vocab_size"]
    # What the model has places for and the tokenizer no words.
    words = [f"[UNUSED{number}]" for number in range(size)]
    kinds = [gguf.TokenType.UNUSED] * size
    for word, number in model["vocab"].items():
        words[number], kinds[number] = word, gguf.TokenType.NORMAL
    for added in source.tokenizer.get("added_tokens", ()):
        words[added["id"]] = added["content"]
        kinds[added["id"]] = (
            gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        )
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges or [_NO_MERGE])
    writer.add_add_bos_token(value=False)
    writer.add_eos_token_id(_end_token(source))
    if source.config.get("pad_token_id") is not None:
        writer.add_pad_token_id(source.config["pad_token_id"])
    if source.template:
        writer.add_chat_template(source.template)


def _end_token(source: _Folder) -> int:
    """The token that ends a text; without one llama.cpp would take token 11."""
    end = source.config.get("eos_token_id")
    if isinstance(end, list) and end:
        end = end[0]
    for added in source.tokenizer.get("added_tokens", ()):
        if end is None and added["content"] == source.end:
            end = added["id"]
    if not isinstance(end, int):
        raise ModelSpecError(f"{source.path} names no end token; give config.json an eos_token_id")
    return end


def _tensors(source: _Folder) -> Iterator[tuple[str, Array]]:
    """Every tensor by llama.cpp's name, in float32."""
    try:
        stored = load_file(source.path / "model.safetensors")
    except Exception as error:
        # safetensors raises types of its own, and numpy knows no bfloat16.
        raise ModelSpecError(
            f"cannot read {source.path / 'model.safetensors'}: {error!r}; {_ELSEWHERE}"
        ) from error
    tied = source.config.get("tie_word_embeddings", False)
    for name, tensor in stored.items():
        if name == "lm_head.weight" and tied:
            continue
        yield _renamed(source, name), _rotated(name, tensor.astype(np.float32), source.config)


def _renamed(source: _Folder, name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    layer, _, part = name.removeprefix("model.layers.").partition(".")
    known = _LAYER_NAMES.get(part.removesuffix(".weight"))
    if known is None or not layer.isdigit():
        raise ModelSpecError(f"{source.path}: its tensor {name} is not known; {_ELSEWHERE}")
    return f"blk.{layer}.{known}.weight"


def _rotated(name: str, tensor: Array, config: dict[str, Any]) -> Array:
    """The rows of a query or key projection in llama.cpp's order, anything else as it is."""
    heads = config["num_attention_heads"]
    if ".k_proj." in name:
        heads = config.get("num_key_value_heads") or heads
    elif ".q_proj." not in name:
        return tensor
    halves = tensor.reshape(heads, 2, -1, tensor.shape[1])
    return halves.swapaxes(1, 2).reshape(tensor.shape)
