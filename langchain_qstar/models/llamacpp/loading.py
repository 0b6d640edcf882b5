"""A GGUF file as a loaded model of llama.cpp, and what the file says of itself.

llama.cpp tells why it refuses a file only in its log, so we listen to that while it
loads. Its log is silent otherwise, unless the logger `llama-cpp-python` has a level.
"""

from __future__ import annotations

import ctypes
import logging
import os
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from langchain_qstar.errors import MissingExtraError, ModelSpecError, OffloadWarning
from langchain_qstar.models.llamacpp.building import CUDA_BUILD

try:
    import llama_cpp
except ImportError as error:
    raise MissingExtraError("llama-cpp-python", "llamacpp") from error

library: Final[Any] = llama_cpp
"""The low-level bindings; `Any`, because ctypes means nothing to a type checker."""

_MAGIC: Final = b"GGUF"
_ALL_LAYERS: Final = -1
_COMPLAINTS: Final = (3, 4)
"""Levels of warnings and errors in llama.cpp's log."""

_log: Final = logging.getLogger("llama-cpp-python")
if _log.level == logging.NOTSET:
    _log.setLevel(logging.CRITICAL + 1)


class GGUFModel:
    """Weights and vocabulary, in memory until nobody refers to them."""

    def __init__(self, file: Path | str, *, n_gpu_layers: int | None = None) -> None:
        """Load `file`, or all parts of it when it is the first of several.

        Args:
            file: A GGUF file.
            n_gpu_layers: Layers to put on a GPU, -1 for all. Default: all, where
                this build of llama.cpp can and there is one. Asking for layers
                where that cannot be is an `OffloadWarning`, and all is computed
                on the CPU.

        Raises:
            ModelSpecError: There is no such file, it is no GGUF file or a damaged
                one, or its model is not one that searches can run on.
        """
        self.file = Path(file).expanduser()
        _check_file(self.file)
        library.llama_backend_init()
        asked = _layers_to_offload(n_gpu_layers)
        self.shortfalls = _shortfalls(n_gpu_layers, asked)
        """What was asked for and cannot be, a line each."""
        for line in self.shortfalls:
            warnings.warn(line, OffloadWarning, stacklevel=3)
        parameters = library.llama_model_default_params()
        parameters.n_gpu_layers = asked
        parameters.use_extra_bufts = not _repacks_for_amx()
        with _complaints() as heard:
            self.pointer = library.llama_model_load_from_file(os.fsencode(self.file), parameters)
        if not self.pointer:
            raise ModelSpecError(
                f"llama.cpp cannot load {self.file}: {_reason(heard)}; "
                "download the file again, or a newer llama-cpp-python may know its architecture"
            )
        # At the end of the process the memory goes anyway, and a thread may still use it.
        weakref.finalize(self, library.llama_model_free, self.pointer).atexit = False
        self.vocabulary = library.llama_model_get_vocab(self.pointer)
        self.tokens = int(library.llama_vocab_n_tokens(self.vocabulary))
        self.depth = int(library.llama_model_n_layer(self.pointer))
        self.width = int(library.llama_model_n_embd(self.pointer))
        self.window = int(library.llama_model_n_ctx_train(self.pointer))
        self.parameters = int(library.llama_model_n_params(self.pointer))
        every = self.depth + 1  # the output counts as a layer
        self.gpu_layers = every if asked < 0 else min(asked, every)
        self._check()

    def _check(self) -> None:
        unfit = {
            "holds no vocabulary": self.tokens < 1,
            "reads with an encoder": library.llama_model_has_encoder(self.pointer),
            "has a state that cannot be forked at any token": (
                library.llama_model_is_recurrent(self.pointer)
                or library.llama_model_is_hybrid(self.pointer)
            ),
            "does not write from left to right": (
                library.llama_model_is_diffusion(self.pointer)
                or self.said(f"{self.architecture}.attention.causal") == "false"
            ),
        }
        for reason, known in unfit.items():
            if known:
                raise ModelSpecError(
                    f"the model of {self.file} {reason}; load it with transformers instead"
                )

    @property
    def architecture(self) -> str:
        """As llama.cpp calls it."""
        return self.said("general.architecture") or ""

    @property
    def exact(self) -> bool:
        """Whether the weights are stored in float32."""
        return int(library.llama_model_ftype(self.pointer)) == int(library.LLAMA_FTYPE_ALL_F32)

    @property
    def cell_values(self) -> int:
        """Numbers in the keys and values of one token, all layers together."""
        heads = int(library.llama_model_n_head(self.pointer))
        groups = int(library.llama_model_n_head_kv(self.pointer))
        sizes = [
            int(self.said(f"{self.architecture}.attention.{part}_length") or self.width // heads)
            for part in ("key", "value")
        ]
        return self.depth * groups * sum(sizes)

    @property
    def chat_template(self) -> str | None:
        """The Jinja text of the file, if it has one."""
        found = library.llama_model_chat_template(self.pointer, None)
        return None if found is None else str(found.decode("utf-8", "replace"))

    def said(self, key: str) -> str | None:
        """What the file says under a key of its metadata."""
        room = ctypes.create_string_buffer(1024)
        size = library.llama_model_meta_val_str(self.pointer, key.encode(), room, len(room))
        return None if size < 0 else room.value.decode("utf-8", "replace")

    def adapter(self, file: Path | str) -> Any:
        """A LoRA for this model, loaded; it goes with the model.

        Raises:
            ModelSpecError: It is no LoRA in GGUF form, or one for another model.
        """
        path = Path(file).expanduser()
        _check_file(path)
        with _complaints() as heard:
            loaded = library.llama_adapter_lora_init(self.pointer, os.fsencode(path))
        if not loaded:
            raise ModelSpecError(
                f"{path} is no LoRA for {self.file}: {_reason(heard)}; "
                "make one with convert_lora_to_gguf.py of llama.cpp"
            )
        return loaded


def _check_file(file: Path) -> None:
    if not file.is_file():
        raise ModelSpecError(f"there is no file {file}; give a GGUF file")
    with file.open("rb") as opened:
        if opened.read(len(_MAGIC)) != _MAGIC:
            raise ModelSpecError(
                f"{file} is no GGUF file; for a folder of transformers give the folder"
            )


def _layers_to_offload(asked: int | None) -> int:
    """How many layers llama.cpp is to be asked to put on a GPU; a negative number is all."""
    if not library.llama_supports_gpu_offload():
        return 0
    return _ALL_LAYERS if asked is None else asked


def _repacks_for_amx() -> bool:
    """Whether llama.cpp would lay out quantised weights for AMX, an instruction set of Intel.

    On many machines with it the first batch then ends the process (llama.cpp's pull request
    26954: the permission to use it is asked for one thread only). Without repacking it is slower.
    """
    return b"AMX_INT8 = 1" in library.llama_print_system_info()


def _shortfalls(asked: int | None, given: int) -> tuple[str, ...]:
    if not asked or given:
        return ()
    line = (
        f"n_gpu_layers={asked}, but this llama-cpp-python was built without GPU support or "
        f"finds no GPU: everything runs on the CPU. Build it again: {CUDA_BUILD}"
    )
    return (line,)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """The warnings and errors that llama.cpp logs meanwhile."""
    heard: list[str] = []

    def hear(level: int, text: bytes, _: Any) -> None:
        if level in _COMPLAINTS:
            heard.append(text.decode("utf-8", "replace").strip())

    callback, before = library.llama_log_callback(hear), library.llama_log_callback()
    data = ctypes.c_void_p()
    library.llama_log_get(ctypes.byref(before), ctypes.byref(data))
    library.llama_log_set(callback, ctypes.c_void_p())
    try:
        yield heard
    finally:
        library.llama_log_set(before, data)


def _reason(heard: list[str]) -> str:
    """The first complaint, which is nearest to the cause, without the function that made it."""
    named = [line for line in heard if line]
    return named[0].split(": ", 1)[-1].splitlines()[0] if named else "it does not say why"


def complaints_of(work: Any) -> tuple[Any, str]:
    """What `work()` returns, and what llama.cpp complained of meanwhile."""
    with _complaints() as heard:
        made = work()
    return made, _reason(heard)
