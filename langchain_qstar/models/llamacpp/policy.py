"""A GGUF file as a policy, computed by llama.cpp; see `engine/policy.py` for what it does.

The same request and seed draw the same tokens as with `TransformersPolicy`, up to the
rounding of another library: exactly as a rule in float32, rarely to the end of a long
text in 4 bits.

It does not run models whose state cannot be forked at any token (Mamba and hybrids):
load those with transformers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from langchain_qstar.errors import ModelSpecError, SettingsError
from langchain_qstar.models.engine.policy import LocalPolicy
from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.models.engine.translation import Limits
from langchain_qstar.models.llamacpp import streams
from langchain_qstar.models.llamacpp.cells import READERS, Cells
from langchain_qstar.models.llamacpp.context import Context, Settings, cell_bytes
from langchain_qstar.models.llamacpp.decoding import LlamaCppBackend
from langchain_qstar.models.llamacpp.loading import GGUFModel
from langchain_qstar.models.llamacpp.memory import free_memory
from langchain_qstar.models.llamacpp.sequences import MOST
from langchain_qstar.models.llamacpp.tokenizer import GGUFTokenizer

_SMALL: Final = 10_000_000
"""Parameters below which a model gets one thread: its operations are too short to share out."""

_CACHE_BYTES: Final = 2**30
_CACHE_TOKENS: Final = 32768
"""More cells than a few searches need cost time: llama.cpp looks at all of them."""

_LEAST_TOKENS: Final = 2048
_BATCH: Final = 512
_FULL_ROWS: Final = 48


class LlamaCppPolicy(LocalPolicy):
    """A GGUF model as a `Policy`, with values for a Q head.

    Besides the protocol it offers `features` (hidden states of states) and
    `token_logprobs` (scoring given text). The thread that runs the model starts
    with the first call and ends with `close`, or with the object.
    """

    def __init__(
        self,
        file: str | Path,
        *,
        name: str | None = None,
        n_gpu_layers: int | None = None,
        flash_attention: bool | None = None,
        type_k: str | None = None,
        type_v: str | None = None,
        adapters: str | Path | Mapping[str | Path, float] | None = None,
        cache_tokens: int | None = None,
        row_tokens: int | None = None,
        max_rows: int = 64,
        threads: int | None = None,
        chat_template: str | Path | None = None,
        thinking: bool = False,
    ) -> None:
        """Load a GGUF file.

        Args:
            file: A GGUF file, or the first of a model in several
                (`NAME-00001-of-00003.gguf`).
            name: For reports; default the name in the file, or the file's own.
            n_gpu_layers: Layers to compute on a GPU, -1 for all. Default: all,
                where this build of llama-cpp-python can and there is a GPU.
                Where it cannot, asking for some is an `OffloadWarning`.
            flash_attention: Faster. Default: off where keys and values are `f32`,
                which it would round to 16 bits; else llama.cpp decides.
            type_k: How keys are kept: `f32`, `f16`, `q8_0`, `q5_1`,
                `q5_0`, `q4_1` or `q4_0`. Default: `f32` for weights in float32,
                else `f16`.
            type_v: The same for values; less than 16 bits needs flash attention.
            adapters: A LoRA in GGUF form, or several and how strongly each is
                applied.
            cache_tokens: Tokens of all searches that are kept in memory at once.
                A text cannot be longer. Default: 32,768 or what fits 1 GiB,
                whichever is less.
            row_tokens: Give each completion that runs a memory of its own, for so many tokens
                with its prompt, which is then the longest text. With many completions of
                different questions that is faster (docs/models.md); `cache_tokens` are then
                kept on the host besides. Default: one memory for all.
            max_rows: Most completions that run at once, up to 192.
            threads: CPU threads. Default: one for a model of less than ten
                million parameters, else half the machine's.
            chat_template: Instead of the file's own: Jinja text, a file of it, or a model's
                folder; `"plain"` joins messages as text, as is done without any template,
                for models without chat training.
            thinking: Let a reasoning model think before the first step of a
                solution.

        Raises:
            ModelSpecError: The file is missing, damaged or of no use here, the chat
                template is none, or memory is short of the cache.
            SettingsError: A setting is out of range.
        """
        if not 1 <= max_rows <= MOST - 4 * READERS:
            raise SettingsError(f"max_rows={max_rows}: choose 1 to {MOST - 4 * READERS}")
        if cache_tokens is not None and cache_tokens < 1:
            raise SettingsError(f"cache_tokens={cache_tokens}: it must hold at least one text")
        if row_tokens is not None and row_tokens < 1:
            raise SettingsError(f"row_tokens={row_tokens}: it must hold at least one text")
        model = GGUFModel(file, n_gpu_layers=n_gpu_layers)
        default = "f32" if model.exact else "f16"
        type_k, type_v = type_k or default, type_v or default
        if flash_attention is None and type_k == type_v == "f32":
            flash_attention = False
        each = cell_bytes(model, type_k, type_v)
        kept = cache_tokens or _default_cells(each)
        number = max_rows + streams.READERS if row_tokens else 0
        cells = number * row_tokens if row_tokens else kept
        if not model.gpu_layers:
            _check_room(cells, each, "row_tokens" if row_tokens else "cache_tokens")
        context = Context(
            model,
            Settings(
                cells=cells,
                streams=number,
                sequences=min(MOST, max_rows + 2 * READERS),
                batch=max(_BATCH, max_rows),
                threads=threads or _default_threads(model),
                flash_attention=flash_attention,
                key_type=type_k,
                value_type=type_v,
                adapters=_weighted(adapters),
            ),
        )
        memory = streams.Streams(context, int(kept * each)) if number else Cells(context)
        self.gpu_layers = model.gpu_layers
        """Layers that are computed on a GPU; 0 where this build cannot, whatever was asked."""
        self.shortfalls = model.shortfalls
        """That layers were to go to a GPU and cannot, for `Usage` to show."""
        tokenizer = GGUFTokenizer(model)
        super().__init__(
            LlamaCppBackend(context, memory, each, max_rows),
            TextCodec(tokenizer, chat_template),
            tokenizer.end_tokens,
            _limits(context, each, max_rows),
            name=name or model.said("general.name") or model.file.stem,
            thinking=thinking,
        )


def _limits(context: Context, each: float, max_rows: int) -> Limits:
    trained, cells = context.model.window, context.longest
    setting = "row_tokens" if context.streams else "cache_tokens"
    return Limits(
        window=min(trained, cells),
        depth=context.model.depth,
        max_rows=max_rows,
        row_tokens=max(1, context.cells // 2),
        cache_bytes=int(context.cells * each),
        full_rows=min(_FULL_ROWS, max_rows),
        shared_contexts=True,
        longer="shorten it"
        if trained <= cells
        else f"shorten it, or give a larger {setting} (up to {trained})",
    )


def _default_cells(each: float) -> int:
    return max(_LEAST_TOKENS, min(_CACHE_TOKENS, int(_CACHE_BYTES // each)))


def _check_room(cells: int, each: float, setting: str) -> None:
    """Refuse a cache for which the system would end some process, perhaps this one."""
    free, needed = free_memory(), cells * each
    if free is not None and needed > free:
        raise ModelSpecError(
            f"a cache of {cells:,} tokens takes {needed / 1e9:.3g} GB, and this machine has "
            f"{free / 1e9:.3g} GB free: give a smaller {setting}"
        )


def _default_threads(model: GGUFModel) -> int:
    return 1 if model.parameters < _SMALL else max(1, (os.cpu_count() or 2) // 2)


def _weighted(
    adapters: str | Path | Mapping[str | Path, float] | None,
) -> tuple[tuple[Path, float], ...]:
    if adapters is None:
        return ()
    if isinstance(adapters, (str, Path)):
        return ((Path(adapters), 1.0),)
    return tuple((Path(file), float(scale)) for file, scale in adapters.items())
