"""How llama-cpp-python is built for a GPU, in one place for all who say so.

Nothing is imported here: who needs this line may have no llama.cpp at all.
"""

from __future__ import annotations

from typing import Final

CUDA_BUILD: Final = (
    "CMAKE_ARGS=-DGGML_CUDA=on pip install --force-reinstall --no-cache-dir llama-cpp-python"
)
"""For NVIDIA; `-DGGML_METAL=on` is for Apple's GPUs, `-DGGML_VULKAN=on` for others."""
