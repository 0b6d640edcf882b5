"""What runs the weights of a file: llama.cpp as they are, or transformers dequantised."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from langchain_qstar.evaluation.recording import tell
from langchain_qstar.models.engine.policy import LocalPolicy
from real_models.files import model_file, sha256, short_name

ENGINES: Final = ("llamacpp", "transformers", "transformers-bf16")
"""By name. The weights are the same; llama.cpp rounds what they are multiplied with to 8 bits,
transformers computes in float32, or rounds weights and all else to bfloat16. Which is the fastest
depends on the machine: the last where the processor multiplies such matrices itself (AMX)."""

ROWS: Final = {"llamacpp": 64, "transformers": 128, "transformers-bf16": 128}
"""Completions that decode together: as many as still make a token cheaper."""
ROW_TOKENS: Final = 1024
"""Memory of each on llama.cpp, with its prompt; transformers takes what the rows need."""
WORK: Final = Path(__file__).resolve().parents[2] / "build" / "models"


def loaded(policy: str, engine: str) -> LocalPolicy:
    """A policy on one thread, for `ROWS` completions at once.

    Args:
        policy: As for `model_file`.
        engine: One of `ENGINES`.

    Raises:
        AbsentError: The file is not there.
    """
    file = model_file(policy)
    if engine == "llamacpp":
        from langchain_qstar import LlamaCppPolicy

        return LlamaCppPolicy(file, threads=1, max_rows=ROWS[engine], row_tokens=ROW_TOKENS)
    import torch

    from langchain_qstar import TransformersPolicy

    return TransformersPolicy.from_pretrained(
        dequantised(file),
        name=short_name(policy),
        dtype=torch.bfloat16 if engine == "transformers-bf16" else torch.float32,
        threads=1,
        max_rows=ROWS[engine],
    )


def dequantised(file: Path) -> Path:
    """The folder of the weights of a file, made where it is not there."""
    folder = WORK / f"{file.stem}.{sha256(file)[:12]}"
    if not folder.exists():
        from langchain_qstar.models.transformers.dequantising import dequantise_gguf

        tell(f"dequantising {file.name} into build/models, once")
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        dequantise_gguf(file, part)
        part.rename(folder)
    return folder
