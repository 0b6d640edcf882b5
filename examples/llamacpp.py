"""Search on llama.cpp: the bundled model as a GGUF file, with the extra `llamacpp`.

Any GGUF file does, on disk or on the Hugging Face hub:
`QStarChain("gguf:ORG/NAME:FILE.gguf")`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain_qstar import LlamaCppPolicy, QStarChain
from langchain_qstar.models.llamacpp.export import export_gguf
from langchain_qstar.models.resolve import NANO_FOLDER

QUESTION = (
    "Ann has 3 boxes with 12 pens each. She gives away 7 pens. How many pens does she have left?"
)


def main() -> None:
    """Write the file, load it, and solve the question."""
    with tempfile.TemporaryDirectory() as folder:
        # On the command line: qstar convert nano nano.gguf --weights q8_0
        file = export_gguf(NANO_FOLDER, Path(folder) / "nano.gguf", weights="q8_0")
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")
        policy = LlamaCppPolicy(file)  # on a GPU: n_gpu_layers=-1, or how many fit
        print(QStarChain(policy).invoke(QUESTION))
        print(f"layers on a GPU: {policy.gpu_layers}")
        policy.close()


if __name__ == "__main__":
    main()
