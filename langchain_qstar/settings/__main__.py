"""Prints every setting as Markdown: `python -m langchain_qstar.settings`."""

from __future__ import annotations

import sys

from langchain_qstar.settings.reference import page

if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # λ, wherever it is printed
    sys.stdout.write(page())
