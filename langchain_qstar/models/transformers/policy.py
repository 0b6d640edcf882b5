"""A Hugging Face causal language model as a policy; see `engine/policy.py` for what it does.

It does not spread one model's rows over several copies of it. In 16 bits the
batch a row sits in can change a token that was nearly a tie; replay finished
steps from their recorded ids.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any, Final

from langchain_qstar.errors import MissingExtraError, ModelSpecError, SettingsError
from langchain_qstar.models.engine.policy import LocalPolicy
from langchain_qstar.models.engine.translation import Limits

try:
    import torch

    from langchain_qstar.models.engine.text import TextCodec
    from langchain_qstar.models.transformers.architecture import branches_for
    from langchain_qstar.models.transformers.borrowed import borrow, give_back
    from langchain_qstar.models.transformers.decoding import TransformersBackend
    from langchain_qstar.models.transformers.forward import CausalModel
    from langchain_qstar.models.transformers.loading import load
except ImportError as error:
    if (error.name or "").startswith("langchain_qstar"):
        raise
    raise MissingExtraError(error.name or "transformers", "transformers") from error

_SMALL: Final = 10_000_000
"""Parameters below which a model on the CPU gets one thread."""

_CPU_BYTES: Final = 2**30
"""Memory on the CPU for what was read, and twice that for running rows."""

_FULL_ROWS: Final = {"cpu": 96, "mps": 96}
_FULL_ROWS_GPU: Final = 384


class TransformersPolicy(LocalPolicy):
    """A causal LM and its tokenizer as a `Policy`, with values for a Q head.

    Besides the protocol it offers `features` (hidden states of states) and
    `token_logprobs` (scoring given text). The thread that runs the model starts
    with the first call and ends with `close`, or with the object.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str | None = None,
        max_rows: int = 512,
        threads: int | None = None,
        cache_bytes: int | None = None,
        chat_template: str | Path | None = None,
        thinking: bool = False,
    ) -> None:
        """Wrap a loaded model; it is put in evaluation mode, until the policy is closed.

        Where its architecture allows, its attention implementation becomes one
        that also serves searches; other users of the model see no difference. It, too, is
        put back when the last policy that has the model is closed.

        Args:
            model: A `transformers` causal LM, on the device it shall run on;
                quantised, with a PEFT adapter, or neither.
            tokenizer: Its tokenizer.
            name: For reports; default the model's own name or path.
            max_rows: Most completions that run at once.
            threads: CPU threads of the engine. Default: one for a model of
                less than ten million parameters on the CPU, whose operations
                are too short to be shared out (on a busy machine two threads
                that wait for each other were 20 times slower than one);
                otherwise what torch is set to.
            cache_bytes: Memory for keys and values of what was read, beyond
                those of running rows. Default: 1 GiB on the CPU, a third of
                what is free on a GPU.
            chat_template: Instead of the tokenizer's own: Jinja text, a file of it, or a
                model's folder; `"plain"` joins messages as text, as is done without any
                template, for models without chat training.
            thinking: Let a reasoning model think before the first step of a
                solution. Thoughts are kept apart from steps and counted. Off,
                they are switched off where its chat template allows.

        Raises:
            ModelSpecError: The two are not a causal LM and a tokenizer, the
                architecture is not supported, or the chat template is none.
            SettingsError: `max_rows` is less than one.
        """
        if not hasattr(model, "forward") or not hasattr(tokenizer, "decode"):
            raise ModelSpecError("expected a (model, tokenizer) pair of transformers objects")
        if max_rows < 1:
            raise SettingsError(f"max_rows={max_rows}: at least one completion must run")
        codec = TextCodec(tokenizer, chat_template)
        if threads is None and _is_small(model):
            threads = 1
        borrow(model)
        try:
            wrapped, branches = _prepared(model)
        except BaseException:
            give_back(model)
            raise
        super().__init__(
            TransformersBackend(wrapped, branches, threads),
            codec,
            _eos_tokens(model, tokenizer),
            _limits(wrapped, max_rows, cache_bytes),
            name=name or getattr(model.config, "_name_or_path", "") or type(model).__name__,
            thinking=thinking,
        )
        self._give_back = weakref.finalize(self, give_back, model)

    def close(self) -> None:
        """End the engine thread; waiting calls fail with `ModelError`. The model is as it was."""
        super().close()
        self._give_back()

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: Any = None,
        device_map: Any = None,
        quantization_config: Any = None,
        adapter: str | Path | None = None,
        local_files_only: bool | None = None,
        name: str | None = None,
        **options: Any,
    ) -> TransformersPolicy:
        """Load a folder, or a model of the Hugging Face hub.

        Code that comes with a model is never run (`trust_remote_code` is off).

        Args:
            source: A folder, or `ORG/NAME`.
            revision: Branch, tag or commit of a hub model.
            device: `cuda`, `mps`, `cpu` ... Default: a GPU when there is one.
            dtype: Default: float32 on the CPU, the stored type elsewhere.
            device_map: As transformers takes it, to spread a model over devices.
            quantization_config: As transformers takes it (bitsandbytes, GPTQ,
                AWQ ...); models that were stored quantised need none.
            adapter: A PEFT adapter, as a folder or `ORG/NAME`.
            local_files_only: Default: true for folders.
            name: For reports.
            options: As for the constructor.

        Raises:
            ModelSpecError: Nothing there, or what is there cannot be loaded.
        """
        model, tokenizer = load(
            source,
            revision=revision,
            device=device,
            dtype=dtype,
            device_map=device_map,
            quantization_config=quantization_config,
            adapter=adapter,
            local_files_only=local_files_only,
        )
        return cls(model, tokenizer, name=name or str(source), **options)


def _prepared(model: Any) -> tuple[CausalModel, Any]:
    """The model, tried out, and how its branches are held."""
    try:
        wrapped = CausalModel(model)
        return wrapped, branches_for(wrapped)
    except ModelSpecError:
        raise
    except Exception as error:
        # A model that is not a decoder fails in its own way, at any place.
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelSpecError(
            f"{type(model).__name__} cannot be used as a causal language model: {reason}"
        ) from error


def _limits(model: CausalModel, max_rows: int, cache_bytes: int | None) -> Limits:
    config, kind = model.config, model.device.type
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    each = 2 * model.depth * heads * size * model.dtype.itemsize
    if kind == "cuda":
        rows = tree = torch.cuda.mem_get_info(model.device)[0] // 3
    else:
        rows, tree = 2 * _CPU_BYTES, _CPU_BYTES
    return Limits(
        window=getattr(config, "max_position_embeddings", None),
        depth=model.depth,
        max_rows=max_rows,
        row_tokens=max(1, int(rows // each)),
        cache_bytes=tree if cache_bytes is None else cache_bytes,
        full_rows=_FULL_ROWS.get(kind, _FULL_ROWS_GPU),
    )


def _is_small(model: Any) -> bool:
    """Whether one CPU thread is enough."""
    if torch.device(model.device).type != "cpu":
        return False
    return bool(sum(parameter.numel() for parameter in model.parameters()) < _SMALL)


def _eos_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends a completion, by the model's and tokenizer's word."""
    generation = getattr(model, "generation_config", None)
    declared = getattr(generation, "eos_token_id", None)
    ids = list(declared) if isinstance(declared, (list, tuple)) else [declared]
    ids.append(tokenizer.eos_token_id)
    return sorted({int(token) for token in ids if token is not None})
