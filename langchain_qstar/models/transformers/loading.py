"""Loading transformers models: from a folder or the hub, on a device, quantised, with an adapter.

Code that comes with a model is never run (`trust_remote_code` is off).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers

from langchain_qstar.errors import MissingExtraError, ModelSpecError
from langchain_qstar.models.transformers.linear_layers import use_onednn


def default_device() -> str:
    """A GPU when there is one, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load(
    source: str | Path,
    *,
    revision: str | None = None,
    device: str | None = None,
    dtype: Any = None,
    device_map: Any = None,
    quantization_config: Any = None,
    adapter: str | Path | None = None,
    local_files_only: bool | None = None,
) -> tuple[Any, Any]:
    """A causal LM in evaluation mode and its tokenizer; see `TransformersPolicy.from_pretrained`.

    Raises:
        ModelSpecError: Nothing there, or what is there cannot be loaded.
        MissingExtraError: An adapter was asked for and peft is not installed.
    """
    folder = Path(source).is_dir()
    offline = folder if local_files_only is None else local_files_only
    device = device or default_device()
    # What is quantised or spread over devices was placed by the loader.
    placed = device_map is not None or quantization_config is not None
    options = {"revision": revision, "local_files_only": offline, "trust_remote_code": False}
    try:
        with _no_progress_bars() if folder else nullcontext():
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(source), **options)
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                str(source),
                dtype=dtype or (torch.float32 if device == "cpu" else "auto"),
                device_map=device_map or (device if placed else None),
                quantization_config=quantization_config,
                **options,
            )
            if adapter is not None:
                model = _with_adapter(model, adapter, offline=offline)
    except MissingExtraError:
        raise
    except Exception as error:
        # Loaders raise anything from OSError to SafetensorError on bad files.
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelSpecError(f"cannot load a model from {source}: {reason}") from error
    model = (model if placed else model.to(device)).eval()
    use_onednn(model)
    return model, tokenizer


def _with_adapter(model: Any, adapter: str | Path, *, offline: bool) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise MissingExtraError("peft", "peft") from error
    return PeftModel.from_pretrained(model, str(adapter), local_files_only=offline)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Standard error belongs to the search's own progress."""
    logging: Any = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
