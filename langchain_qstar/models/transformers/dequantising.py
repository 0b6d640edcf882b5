"""A GGUF file as a folder of transformers' format, its weights dequantised to float32.

For what llama.cpp cannot do: hidden states of any layer of any architecture, adapters, and
training of whole models. It takes four bytes a parameter, in memory and on disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain_qstar.errors import InputError, MissingExtraError, ModelSpecError


def dequantise_gguf(file: Path | str, folder: Path | str) -> Path:
    """Write the model of a GGUF file, with its tokenizer and chat template, to a folder.

    Args:
        file: Of an architecture that transformers knows how to read.
        folder: A new one.

    Returns:
        `folder`.

    Raises:
        ModelSpecError: There is no such file, or transformers cannot read it.
        InputError: `folder` is there already, or cannot be written.
        MissingExtraError: transformers or gguf is not installed.
    """
    try:
        import gguf  # noqa: F401  # transformers reads by it
        import torch
        import transformers
    except ImportError as error:
        extra = "llamacpp" if error.name == "gguf" else "transformers"
        raise MissingExtraError(error.name or "transformers", extra) from error
    source, target = Path(file).expanduser(), Path(folder)
    if not source.is_file():
        raise ModelSpecError(f"there is no file {source}; give a GGUF file")
    if target.exists():
        raise InputError(f"{target} is there already; name a new folder")
    logging: Any = transformers.utils.logging
    logging.disable_progress_bar()
    named: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, **named)
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            source.parent, dtype=torch.float32, **named
        )
        # What was read is no longer quantised, but says so, and would not be saved.
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror or error}") from error
    except Exception as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelSpecError(f"transformers cannot read {source}: {reason}") from error
    finally:
        logging.enable_progress_bar()
    return target
